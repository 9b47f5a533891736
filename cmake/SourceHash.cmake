# cmake -DROOT=... -DOUT=... -P SourceHash.cmake: a hash over the compiler's own
# sources, so that what one build compiled is never taken for another's.
set(all "")
foreach(folder include lib dialect passes codegen runtime)
  file(GLOB_RECURSE files ${ROOT}/${folder}/*.cpp ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.td)
  list(SORT files)
  foreach(file ${files})
    file(SHA256 ${file} hash)
    string(APPEND all ${hash})
  endforeach()
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 16 hash)
file(WRITE ${OUT} "\"${hash}\"\n")
