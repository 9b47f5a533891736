//===- monarch-opt.cpp - run passes on .mlir files ------------------------===//

#include "monarch/InitAll.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  monarch::registerAllDialects(registry);
  monarch::registerAllPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Monarch optimizer driver\n", registry));
}
