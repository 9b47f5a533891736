//===- Bundle.cpp - compiled attention as one file ------------------------===//
//
// Layout, little endian: magic (8 bytes), length of the rest after the header
// (8), XXH3-64 of that rest (8); then the manifest's length (8), the manifest
// (JSON), and the PTX and cubin blobs that it points at by offset and size.
//
//===----------------------------------------------------------------------===//

#include "monarch/Bundle/Bundle.h"

#include <nlohmann/json.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <set>

using namespace monarch;
using Json = nlohmann::ordered_json;

static constexpr char magic[8] = {'M', 'O', 'N', 'A', 'R', 'C', 'H', 1};
static constexpr size_t headerSize = 24;

static void append64(std::string &s, uint64_t v) {
  for (int i = 0; i < 8; ++i)
    s += char(v >> (8 * i));
}
static uint64_t read64(const std::string &s, size_t at) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; --i)
    v = v << 8 | uint8_t(s[at + i]);
  return v;
}

const TargetImage *Bundle::find(const std::string &arch) const {
  for (const TargetImage &t : targets)
    if (t.arch == arch)
      return &t;
  return nullptr;
}

/// "sm_90a" as 90, and whether code for it runs on later chips (no suffix).
static int chipNumber(const std::string &arch, bool &portable) {
  int n = 0;
  size_t i = 3;
  while (i < arch.size() && arch[i] >= '0' && arch[i] <= '9')
    n = n * 10 + (arch[i++] - '0');
  portable = i == arch.size();
  return n;
}

const TargetImage *monarch::selectTarget(const Bundle &bundle,
                                         const std::string &arch, int chip,
                                         std::string &error) {
  const TargetImage *best = nullptr;
  int bestNumber = -1;
  std::string have;
  for (const TargetImage &t : bundle.targets) {
    have += (have.empty() ? "" : ", ") + t.arch;
    if (!arch.empty() && t.arch != arch)
      continue;
    bool portable;
    int n = chipNumber(t.arch, portable);
    if ((n == chip || (portable && n < chip)) && n > bestNumber) {
      best = &t;
      bestNumber = n;
    }
  }
  if (!best)
    error = "the bundle has no kernels for this device: expected " +
            (arch.empty() ? std::string("some") : arch) + " for sm_" +
            std::to_string(chip) + ", got " + (have.empty() ? "none" : have);
  return best;
}

bool monarch::isNative(const TargetImage &target, int chip) {
  bool portable;
  return !target.cubin.empty() && chipNumber(target.arch, portable) == chip;
}

//===----------------------------------------------------------------------===//
// Problem
//===----------------------------------------------------------------------===//

static Json toJson(const Problem &p) {
  const Geometry &g = p.geometry;
  return {{"query_frames", g.queryFrames},
          {"key_frames", g.keyFrames},
          {"height", g.height},
          {"width", g.width},
          {"tile", g.tile},
          {"block_rows", g.blocks.rows()},
          {"block_columns", g.blocks.columns()},
          {"sequence_tokens", g.sequenceTokens},
          {"pad_before", g.padBefore},
          {"batch", p.batch},
          {"heads", p.heads},
          {"head_dim", p.headDim},
          {"value_dim", p.valueDim},
          {"dtype", dtypeName(p.dtype)},
          {"iterations", p.iterations},
          {"scale", p.effectiveScale()},
          {"temperature_floor", p.temperatureFloor},
          {"recompute_frames", p.recomputeFrames},
          {"causal_frames", p.causalFrames},
          {"causal_offset", p.causalOffset},
          {"dynamic_key_frames", p.dynamicKeyFrames},
          {"key_mask", p.keyMask}};
}

static bool problemFrom(const Json &j, Problem &p, std::string &error) {
  Geometry &g = p.geometry;
  g.queryFrames = j.at("query_frames");
  g.keyFrames = j.at("key_frames");
  g.height = j.at("height");
  g.width = j.at("width");
  g.tile = j.at("tile").get<Extents>();
  auto blocks = Blocking::parse(j.at("block_rows"), j.at("block_columns"));
  auto type = parseDType(j.at("dtype"));
  if (!blocks || !type) {
    error = "bundle: unknown blocks or dtype in the manifest";
    return false;
  }
  g.blocks = *blocks;
  p.dtype = *type;
  g.sequenceTokens = j.at("sequence_tokens");
  g.padBefore = j.at("pad_before");
  p.batch = j.at("batch");
  p.heads = j.at("heads");
  p.headDim = j.at("head_dim");
  p.valueDim = j.at("value_dim");
  p.iterations = j.at("iterations");
  p.scale = j.at("scale");
  p.temperatureFloor = j.at("temperature_floor");
  p.recomputeFrames = j.at("recompute_frames");
  p.causalFrames = j.at("causal_frames");
  p.causalOffset = j.at("causal_offset");
  p.dynamicKeyFrames = j.at("dynamic_key_frames");
  p.keyMask = j.at("key_mask");
  std::string invalid = g.verify();
  if (invalid.empty() && (p.batch < 1 || p.heads < 1 || p.headDim < 1))
    invalid = "empty tensors";
  if (!invalid.empty())
    error = "bundle: the manifest's problem is not valid: " + invalid;
  return invalid.empty();
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

std::string monarch::serializeBundle(const Bundle &bundle) {
  std::string blobs;
  auto blob = [&](const std::string &bytes) -> Json {
    Json j = {{"offset", blobs.size()}, {"size", bytes.size()}};
    blobs += bytes;
    return j;
  };
  Json targets = Json::array();
  for (const TargetImage &t : bundle.targets) {
    Json kernels = Json::array();
    for (const KernelImage &k : t.kernels) {
      Json arguments = Json::array();
      for (const KernelArgument &a : k.arguments) {
        arguments.push_back(
            {{"buffer", a.buffer}, {"offset_bytes", a.offsetBytes}});
        if (!a.box.empty())
          arguments.back()["box"] = a.box;
        if (!a.extents.empty()) {
          arguments.back()["extents"] = a.extents;
          arguments.back()["strides"] = a.strides;
        }
      }
      kernels.push_back({{"name", k.name},
                         {"schedule", k.schedule},
                         {"programs", k.programs},
                         {"threads", k.threads},
                         {"cluster", k.cluster},
                         {"clusters", k.clusters},
                         {"shared_bytes", k.sharedBytes},
                         {"dynamic_frames", k.dynamicFrames},
                         {"persistent", k.persistent},
                         {"arguments", arguments},
                         {"registers", k.resources.registers},
                         {"spill_stores", k.resources.spillStores},
                         {"spill_loads", k.resources.spillLoads},
                         {"stack_bytes", k.resources.stackBytes}});
    }
    Json workspaces = Json::array();
    for (const WorkspaceImage &w : t.workspaces)
      workspaces.push_back({{"name", w.name},
                            {"bytes_per_slab", w.bytesPerSlab},
                            {"bytes", w.bytes},
                            {"zeroed", w.zeroed},
                            {"zeroed_once", w.zeroedOnce}});
    targets.push_back({{"arch", t.arch},
                       {"kernels", kernels},
                       {"workspaces", workspaces},
                       {"slabs_per_head", t.slabsPerHead},
                       {"ptx", blob(t.ptx)},
                       {"cubin", blob(t.cubin)},
                       {"ptxas_log", t.ptxasLog}});
  }
  Json manifest = {
      {"abi", abiVersion},
      {"compiler",
       {{"version", bundle.compilerVersion}, {"hash", bundle.compilerHash}}},
      {"problem", toJson(bundle.problem)},
      {"targets", targets}};
  std::string text = manifest.dump(1);
  std::string rest;
  append64(rest, text.size());
  rest += text + blobs;
  std::string out(magic, sizeof(magic));
  append64(out, rest.size());
  append64(out, XXH3_64bits(rest.data(), rest.size()));
  return out + rest;
}

/// What a loader relies on and a valid checksum does not promise.
static std::string findFault(const TargetImage &t) {
  if (t.arch.compare(0, 3, "sm_") != 0)
    return "expected a target sm_NN, got '" + t.arch + "'";
  if (t.slabsPerHead < 1 || t.slabsPerHead > INT32_MAX)
    return "expected at least one slab a head";
  std::set<std::string> buffers = {"query", "key", "value", "out"};
  for (const WorkspaceImage &w : t.workspaces) {
    constexpr int64_t most = int64_t(1) << 50;
    if (w.bytesPerSlab < 0 || w.bytesPerSlab > most || w.bytes < 0 ||
        w.bytes > most || (w.bytesPerSlab == 0) == (w.bytes == 0))
      return "workspace '" + w.name + "' has an impossible size";
    buffers.insert(w.name);
  }
  if (t.kernels.empty())
    return "target '" + t.arch + "' has no kernels";
  for (const KernelImage &k : t.kernels) {
    if (k.programs < 1 || k.programs > INT32_MAX || k.threads < 1 ||
        k.threads > 1024 || k.sharedBytes < 0 || k.sharedBytes > 1 << 20 ||
        k.cluster < 1 || k.cluster > 16 || (k.cluster & (k.cluster - 1)) ||
        k.programs % k.cluster || k.clusters < 0 || k.clusters > 128 ||
        (k.cluster > 1) != (k.clusters > 0))
      return "kernel '" + k.name + "' has an impossible launch";
    if (k.arguments.size() > maxKernelArguments)
      return "kernel '" + k.name + "' has too many arguments";
    for (const KernelArgument &a : k.arguments) {
      if (!buffers.count(a.buffer) || a.offsetBytes < 0)
        return "kernel '" + k.name + "' wants unknown buffer '" + a.buffer +
               "'";
      bool isToken = a.extents.empty();
      bool validBox =
          a.box.empty() || (isToken ? a.box.size() == 5
                                    : a.box.size() >= 2 && a.box.size() <= 5);
      validBox &= isToken ? a.strides.empty()
                          : a.strides.size() == a.box.size() &&
                                a.box.size() - a.extents.size() <= 1;
      for (int64_t extent : a.extents)
        validBox &= extent >= 1 && extent <= INT32_MAX;
      for (int64_t stride : a.strides)
        validBox &= stride >= 1 && stride < int64_t(1) << 39; // of 2 bytes
      for (int64_t extent : a.box) // of a tensor map, at most 256 elements
        validBox &= extent >= 1 && extent <= 256;
      if (!validBox)
        return "kernel '" + k.name + "' wants an impossible box of '" +
               a.buffer + "'";
    }
  }
  return "";
}

bool monarch::looksLikeBundle(const std::string &bytes) {
  return bytes.size() >= 7 && std::memcmp(bytes.data(), magic, 7) == 0;
}

bool monarch::parseBundle(const std::string &bytes, Bundle &bundle,
                          std::string &error) {
  auto fail = [&](const std::string &message) {
    error = "bundle: " + message;
    return false;
  };
  if (bytes.size() < headerSize ||
      std::memcmp(bytes.data(), magic, sizeof(magic)) != 0)
    return fail("expected a bundle of format 1, got a file that does not start "
                "like one");
  uint64_t size = read64(bytes, 8);
  if (size != bytes.size() - headerSize)
    return fail("truncated: expected " + std::to_string(size) +
                " bytes after the header, got " +
                std::to_string(bytes.size() - headerSize));
  if (XXH3_64bits(bytes.data() + headerSize, size) != read64(bytes, 16))
    return fail("checksum mismatch: the file was altered");
  uint64_t length = size < 8 ? 0 : read64(bytes, headerSize);
  if (size < 8 || length > size - 8)
    return fail("the manifest is longer than the file");
  size_t blobStart = headerSize + 8 + length;
  try {
    Json j =
        Json::parse(bytes.begin() + headerSize + 8, bytes.begin() + blobStart);
    int abi = j.at("abi");
    if (abi != abiVersion)
      return fail("expected ABI version " + std::to_string(abiVersion) +
                  ", got " + std::to_string(abi) + "; compile it again");
    bundle.compilerVersion = j.at("compiler").at("version");
    bundle.compilerHash = j.at("compiler").at("hash");
    if (!problemFrom(j.at("problem"), bundle.problem, error))
      return false;
    auto blob = [&](const Json &at) {
      uint64_t offset = at.at("offset"), n = at.at("size");
      uint64_t available = bytes.size() - blobStart;
      if (offset > available || n > available - offset)
        throw std::out_of_range("a blob lies outside the file");
      return bytes.substr(blobStart + offset, n);
    };
    for (const Json &jt : j.at("targets")) {
      TargetImage t;
      t.arch = jt.at("arch");
      for (const Json &jk : jt.at("kernels")) {
        KernelImage k;
        k.name = jk.at("name");
        k.schedule = jk.at("schedule");
        k.programs = jk.at("programs");
        k.threads = jk.at("threads");
        k.cluster = jk.at("cluster");
        k.clusters = jk.at("clusters");
        k.sharedBytes = jk.at("shared_bytes");
        k.dynamicFrames = jk.at("dynamic_frames");
        k.persistent = jk.at("persistent");
        for (const Json &ja : jk.at("arguments"))
          k.arguments.push_back({ja.at("buffer"), ja.at("offset_bytes"),
                                 ja.value("box", std::vector<int64_t>()),
                                 ja.value("extents", std::vector<int64_t>()),
                                 ja.value("strides", std::vector<int64_t>())});
        k.resources = {jk.at("registers"), jk.at("spill_stores"),
                       jk.at("spill_loads"), jk.at("stack_bytes")};
        t.kernels.push_back(std::move(k));
      }
      for (const Json &jw : jt.at("workspaces"))
        t.workspaces.push_back({jw.at("name"), jw.at("bytes_per_slab"),
                                jw.at("bytes"), jw.at("zeroed"),
                                jw.at("zeroed_once")});
      t.slabsPerHead = jt.at("slabs_per_head");
      if (std::string wrong = findFault(t); !wrong.empty())
        return fail(wrong);
      t.ptx = blob(jt.at("ptx"));
      t.cubin = blob(jt.at("cubin"));
      t.ptxasLog = jt.at("ptxas_log");
      bundle.targets.push_back(std::move(t));
    }
  } catch (const std::exception &e) {
    return fail(std::string("damaged manifest: ") + e.what());
  }
  return true;
}
