//===- LaunchPlan.cpp - the module attribute monarch.plan -----------------===//

#include "monarch/Codegen/LaunchPlan.h"

#include "monarch/Dialect/MonarchDialect.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace monarch;

namespace {
/// Reads dictionaries, remembering the first thing that was not as expected.
class Reader {
public:
  std::string problem;

  void expect(StringRef what, StringRef in) {
    if (problem.empty())
      problem = ("expected " + what + " in " + in).str();
  }
  std::string text(DictionaryAttr d, StringRef key, StringRef in) {
    auto attr = d.getAs<StringAttr>(key);
    if (!attr)
      expect(("a string '" + key + "'").str(), in);
    return attr ? attr.str() : "";
  }
  int64_t integer(DictionaryAttr d, StringRef key, StringRef in,
                  int64_t least) {
    auto attr = d.getAs<IntegerAttr>(key);
    if (!attr || attr.getInt() < least) {
      expect(("an integer '" + key + "' of at least " + Twine(least)).str(),
             in);
      return least;
    }
    return attr.getInt();
  }
  /// False when it is not there.
  static bool flag(DictionaryAttr d, StringRef key) {
    auto attr = d.getAs<BoolAttr>(key);
    return attr && attr.getValue();
  }
  SmallVector<DictionaryAttr> list(DictionaryAttr d, StringRef key,
                                   StringRef in) {
    SmallVector<DictionaryAttr> entries;
    auto attr = d.getAs<ArrayAttr>(key);
    if (!attr)
      expect(("a list '" + key + "'").str(), in);
    for (Attribute entry : attr ? attr.getValue() : ArrayRef<Attribute>()) {
      if (auto dictionary = dyn_cast<DictionaryAttr>(entry))
        entries.push_back(dictionary);
      else
        expect("dictionaries", key);
    }
    return entries;
  }
};
} // namespace

FailureOr<LaunchPlan> monarch::readLaunchPlan(ModuleOp module) {
  auto attr = module->getAttrOfType<DictionaryAttr>(planAttrName);
  if (!attr)
    return module.emitError("expected module attribute '")
           << planAttrName << "'";
  Reader read;
  LaunchPlan plan;
  plan.batch = read.integer(attr, "batch", planAttrName, 1);
  plan.heads = read.integer(attr, "heads", planAttrName, 1);
  plan.slabsPerHead = read.integer(attr, "slabs_per_head", planAttrName, 1);
  if (auto geometry = attr.getAs<GeometryAttr>("geometry"))
    plan.maxKeyFrames = geometry.getValue().keyFrames;
  else
    read.expect("a geometry", planAttrName);
  llvm::StringSet<> known;
  for (StringRef name : {"query", "key", "value", "key_mask", "out"})
    known.insert(name);
  for (DictionaryAttr attributes :
       read.list(attr, "workspaces", planAttrName)) {
    LaunchPlan::Workspace ws;
    ws.name = read.text(attributes, "name", "a workspace");
    if (attributes.get("bytes"))
      ws.bytes = read.integer(attributes, "bytes", "a workspace", 1);
    else
      ws.bytesPerSlab =
          read.integer(attributes, "bytes_per_slab", "a workspace", 1);
    ws.zeroed = read.flag(attributes, "zeroed");
    ws.zeroedOnce = read.flag(attributes, "zeroed_once");
    known.insert(ws.name);
    plan.workspaces.push_back(std::move(ws));
  }
  for (DictionaryAttr launch : read.list(attr, "launches", planAttrName)) {
    LaunchPlan::Launch l;
    l.kernel = read.text(launch, "kernel", "a launch");
    l.dynamicFrames = read.flag(launch, "dynamic_frames");
    l.persistent = read.flag(launch, "persistent");
    for (DictionaryAttr arg : read.list(launch, "arguments", "a launch")) {
      LaunchPlan::Argument &last = l.arguments.emplace_back();
      last.buffer = read.text(arg, "buffer", "an argument");
      last.offset = read.integer(arg, "offset", "an argument", 0);
      std::pair<StringRef, std::vector<int64_t> *> lists[] = {
          {"box", &last.box},
          {"extents", &last.extents},
          {"strides", &last.strides}};
      for (auto [name, list] : lists)
        if (auto values = arg.getAs<DenseI64ArrayAttr>(name))
          *list = values.asArrayRef().vec();
      if (!known.contains(last.buffer))
        read.expect("a known buffer, got '" + last.buffer + "'", "an argument");
    }
    plan.launches.push_back(std::move(l));
  }
  if (!read.problem.empty())
    return module.emitError("monarch.plan: ") << read.problem;
  return plan;
}
