//===- Presets.cpp - models and workloads by name -------------------------===//

#include "Presets.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace monarch;

// Heads and head size: the published configurations (`num_heads` and
// `dim / num_heads` in Wan2.1's wan/configs/wan_t2v_1_3B.py and wan_t2v_14B.py,
// Wan2.2's wan/configs/wan_ti2v_5B.py; `heads_num` and `hidden_size` in
// HunyuanVideo's hyvideo/modules/models.py; `num_attention_heads` and
// `attention_head_dim` in the diffusers configurations of CogVideoX). Patch and
// VAE strides: `patch_size` and `vae_stride` of the same files. Self-Forcing is
// Wan2.1 1.3B generating three latent frames at a time (num_frame_per_block in
// its configs/self_forcing_dmd.yaml).
static constexpr Model models[] = {
    {"wan2.1-t2v-1.3b", 12, 128, {1, 2, 2}, {4, 8, 8}, 0, "Wan2.1-T2V-1.3B"},
    {"wan2.1-t2v-14b", 40, 128, {1, 2, 2}, {4, 8, 8}, 0, "Wan2.1-T2V-14B"},
    {"wan2.2-ti2v-5b", 24, 128, {1, 2, 2}, {4, 16, 16}, 0, "Wan2.2-TI2V-5B"},
    {"self-forcing",
     12,
     128,
     {1, 2, 2},
     {4, 8, 8},
     3,
     "Self-Forcing on Wan2.1-T2V-1.3B, autoregressive"},
    {"hunyuanvideo", 24, 128, {1, 2, 2}, {4, 8, 8}, 0, "HunyuanVideo"},
    {"cogvideox-2b", 30, 64, {1, 2, 2}, {4, 8, 8}, 0, "CogVideoX-2B"},
    {"cogvideox-5b", 48, 64, {1, 2, 2}, {4, 8, 8}, 0, "CogVideoX-5B"},
};

llvm::ArrayRef<Model> monarch::allModels() { return models; }

const Model *monarch::findModel(llvm::StringRef name) {
  for (const Model &m : models)
    if (m.name.equals_insensitive(name))
      return &m;
  return nullptr;
}

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

llvm::Expected<Extents> monarch::videoGrid(const Model &m, int64_t width,
                                           int64_t height, int64_t frames) {
  auto divide = [&](const char *what, int64_t size,
                    int64_t step) -> llvm::Expected<int64_t> {
    if (size >= step && size <= (int64_t(1) << 24) && size % step == 0)
      return size / step;
    int64_t below = size / step * step;
    return makeError(llvm::formatv(
        "--resolution: expected a {0} that is a multiple of {1} (VAE stride "
        "times patch size of {2}), got {3}; {4} would do",
        what, step, m.name, size,
        below > 0 && size <= (int64_t(1) << 24)
            ? llvm::formatv("{0} or {1}", below, below + step).str()
            : std::to_string(step)));
  };
  auto w = divide("width", width, m.vaeStride[2] * m.patch[2]);
  if (!w)
    return w.takeError();
  auto h = divide("height", height, m.vaeStride[1] * m.patch[1]);
  if (!h)
    return h.takeError();
  // The VAE keeps the first frame and packs the others by its time stride.
  int64_t stride = m.vaeStride[0] * m.patch[0];
  if (frames < 1 || frames > (int64_t(1) << 24) || (frames - 1) % stride)
    return makeError(llvm::formatv(
        "--frames: expected a multiple of {0} plus 1 for {1}, got {2}; {3} or "
        "{4} would do",
        stride, m.name, frames,
        std::max<int64_t>(0, (frames - 1) / stride) * stride + 1,
        (std::max<int64_t>(0, (frames - 1) / stride) + 1) * stride + 1));
  return Extents{(frames - 1) / stride + 1, *h, *w};
}

//===----------------------------------------------------------------------===//
// Workloads
//===----------------------------------------------------------------------===//

static const char workloadText[] =
#include "Workloads.inc"
    ;

static const llvm::json::Array &workloads() {
  static llvm::json::Value document =
      llvm::cantFail(llvm::json::parse(workloadText));
  return *document.getAsObject()->getArray("workloads");
}

std::vector<std::string> monarch::workloadNames() {
  std::vector<std::string> names;
  for (const llvm::json::Value &w : workloads())
    names.push_back(w.getAsObject()->getString("name")->str());
  return names;
}

static const llvm::json::Object *workload(llvm::StringRef name) {
  for (const llvm::json::Value &w : workloads())
    if (w.getAsObject()->getString("name") == name)
      return w.getAsObject();
  return nullptr;
}

llvm::Expected<Problem> monarch::findWorkload(llvm::StringRef name) {
  const llvm::json::Object *w = workload(name);
  if (!w) {
    std::string known;
    for (const std::string &n : workloadNames())
      known += (known.empty() ? "" : ", ") + n;
    return makeError("--workload: unknown workload '" + name + "', expected " +
                     known);
  }
  auto extents = [&](llvm::StringRef key) {
    Extents e = {0, 0, 0};
    for (int x = 0; x < 3; ++x)
      e[x] = *(*w->getArray(key))[x].getAsInteger();
    return e;
  };
  Problem p;
  Extents grid = extents("grid");
  p.geometry.keyFrames = grid[0];
  p.geometry.queryFrames = w->getInteger("query_frames").value_or(grid[0]);
  p.geometry.height = grid[1];
  p.geometry.width = grid[2];
  p.geometry.tile = extents("tile");
  std::string rows = (*w->getArray("blocks"))[0].getAsString()->str();
  std::string columns = (*w->getArray("blocks"))[1].getAsString()->str();
  if (grid[0] == 1 && rows == "h")
    rows = "fh"; // a sequence: its one frame is an axis of extent 1
  auto blocks = Blocking::parse(rows, columns);
  if (!blocks)
    return makeError("workload '" + name + "' has unaligned blocks");
  p.geometry.blocks = *blocks;
  p.heads = *w->getInteger("heads");
  p.headDim = p.valueDim = 128;
  p.iterations = w->getInteger("iterations").value_or(1);
  p.temperatureFloor = w->getNumber("temperature_floor").value_or(1e-6);
  p.recomputeFrames = w->getInteger("recompute_frames").value_or(0);
  // Fewer query frames than key frames: an autoregressive step over a KV cache
  // whose length is known at the call (A5).
  p.dynamicKeyFrames = p.geometry.queryFrames != p.geometry.keyFrames;
  return p;
}

std::string monarch::describeWorkload(llvm::StringRef name) {
  const llvm::json::Object *w = workload(name);
  llvm::Expected<Problem> p = findWorkload(name);
  if (!p) {
    llvm::consumeError(p.takeError());
    return "";
  }
  const Geometry &g = p->geometry;
  return llvm::formatv("{0,-26} {1}x{2}x{3} tokens, {4} heads, blocks ({5}, "
                       "{6}), T = {7}: {8}",
                       name, g.keyFrames, g.height, g.width, p->heads,
                       g.blocks.rows(), g.blocks.columns(), p->iterations,
                       w->getString("model").value_or(""));
}
