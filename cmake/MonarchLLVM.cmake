# MLIR and LLVM 22, linked statically into the tools: a driver starts in 10 ms
# and runs on a machine that has neither.
#
# Debian's MLIR targets name the shared libraries LLVM and MLIR in their link
# interface; both are taken out so that only archives remain. Static LLVM
# components beside libLLVM.so abort at start (options registered twice).

find_package(MLIR REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
add_definitions(${LLVM_DEFINITIONS})

get_property(mlir_libs GLOBAL PROPERTY MLIR_ALL_LIBS)
foreach(lib ${mlir_libs})
  if(TARGET ${lib})
    get_target_property(interface ${lib} INTERFACE_LINK_LIBRARIES)
    if(interface)
      list(REMOVE_ITEM interface LLVM MLIR)
      set_target_properties(${lib} PROPERTIES INTERFACE_LINK_LIBRARIES "${interface}")
    endif()
  endif()
endforeach()

# LLVMSupport: no z3 (nothing here solves constraints), static zlib and zstd.
find_library(MONARCH_ZLIB libz.a REQUIRED)
find_library(MONARCH_ZSTD libzstd.a REQUIRED)
get_target_property(interface LLVMSupport INTERFACE_LINK_LIBRARIES)
list(FILTER interface EXCLUDE REGEX "z3|Z3|zstd|ZLIB")
list(APPEND interface ${MONARCH_ZLIB} ${MONARCH_ZSTD})
set_target_properties(LLVMSupport PROPERTIES INTERFACE_LINK_LIBRARIES "${interface}")

llvm_map_components_to_libnames(MONARCH_LLVM_CODEGEN core support passes
  nvptxcodegen nvptxdesc nvptxinfo target targetparser analysis asmprinter
  codegen mc bitwriter)
llvm_map_components_to_libnames(MONARCH_LLVM_JIT orcjit executionengine
  x86codegen x86desc x86info jitlink perfjitevents)
