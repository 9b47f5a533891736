//===- TensorFiles.cpp - safetensors and npy ------------------------------===//
//
// Formats: huggingface/safetensors README ("Format": 8 bytes of header length,
// a JSON header, the data) and numpy.lib.format version 1.0.
//
//===----------------------------------------------------------------------===//

#include "Inputs.h"

#include "monarch/Support/Half.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace monarch;

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

static std::string shapeText(const std::vector<int64_t> &shape) {
  std::string s;
  for (int64_t d : shape)
    s += (s.empty() ? "" : ", ") + std::to_string(d);
  return "[" + s + "]";
}

namespace {
/// A tensor of a file: where it lies, and what it is.
struct FileTensor {
  std::vector<int64_t> shape;
  std::string dtype;
  llvm::StringRef bytes;
};
} // namespace

/// Checks a file's tensor and copies it.
static llvm::Expected<std::vector<uint8_t>>
take(const FileTensor &tensor, llvm::StringRef file, llvm::StringRef name,
     const std::vector<int64_t> &shape, llvm::StringRef dtype, int64_t size) {
  if (tensor.shape != shape)
    return makeError(file + ": expected tensor '" + name + "' of shape " +
                     shapeText(shape) + ", got " + shapeText(tensor.shape));
  if (tensor.dtype != dtype)
    return makeError(file + ": expected tensor '" + name + "' of dtype " +
                     dtype + ", got " + tensor.dtype);
  int64_t bytes = size;
  for (int64_t d : shape)
    bytes *= d;
  if (static_cast<int64_t>(tensor.bytes.size()) != bytes)
    return makeError(file + ": expected " + llvm::Twine(bytes) +
                     " bytes of tensor '" + name + "', got " +
                     llvm::Twine(tensor.bytes.size()));
  return std::vector<uint8_t>(tensor.bytes.bytes_begin(),
                              tensor.bytes.bytes_end());
}

static llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
openFile(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, false, false);
  if (!buffer)
    return makeError(path + ": " + buffer.getError().message());
  return std::move(*buffer);
}

/// Name of an element type in a safetensors file, and in an npy file. npy has
/// no bf16: such tensors are kept as their 16 bits.
static const char *safetensorsType(DType t) {
  return t == DType::BF16 ? "BF16" : t == DType::F16 ? "F16" : "F32";
}
static const char *npyType(DType t) {
  return t == DType::BF16 ? "<u2" : t == DType::F16 ? "<f2" : "<f4";
}

static llvm::Expected<FileTensor> findSafetensor(llvm::StringRef data,
                                                 llvm::StringRef file,
                                                 llvm::StringRef name,
                                                 bool required) {
  auto damaged = [&](const llvm::Twine &what) {
    return makeError(file + ": not a safetensors file: " + what);
  };
  if (data.size() < 8)
    return damaged("shorter than its header length");
  uint64_t header = llvm::support::endian::read64le(data.data());
  if (header > data.size() - 8)
    return damaged("header of " + llvm::Twine(header) + " bytes in a file of " +
                   llvm::Twine(data.size()));
  auto json = llvm::json::parse(data.substr(8, header));
  if (!json)
    return damaged(llvm::toString(json.takeError()));
  const llvm::json::Object *object = json->getAsObject();
  const llvm::json::Object *entry = object ? object->getObject(name) : nullptr;
  if (!entry) {
    if (!required)
      return FileTensor();
    return makeError(file + ": expected a tensor '" + name + "'");
  }
  FileTensor t;
  t.dtype = entry->getString("dtype").value_or("").str();
  if (const llvm::json::Array *shape = entry->getArray("shape"))
    for (const llvm::json::Value &d : *shape)
      t.shape.push_back(d.getAsInteger().value_or(-1));
  const llvm::json::Array *offsets = entry->getArray("data_offsets");
  if (!offsets || offsets->size() != 2)
    return damaged("no data_offsets of '" + name + "'");
  int64_t begin = (*offsets)[0].getAsInteger().value_or(-1);
  int64_t end = (*offsets)[1].getAsInteger().value_or(-1);
  llvm::StringRef body = data.drop_front(8 + header);
  if (begin < 0 || end < begin || end > static_cast<int64_t>(body.size()))
    return damaged("data of '" + name + "' is outside the file");
  t.bytes = body.slice(begin, end);
  return t;
}

static llvm::Expected<FileTensor> readNpy(llvm::StringRef data,
                                          llvm::StringRef file) {
  if (!data.starts_with("\x93NUMPY") || data.size() < 10)
    return makeError(file + ": not an npy file");
  size_t length = llvm::support::endian::read16le(data.data() + 8);
  size_t start = 10;
  if (data[6] >= 2) {
    if (data.size() < 12)
      return makeError(file + ": truncated npy header");
    length = llvm::support::endian::read32le(data.data() + 8);
    start = 12;
  }
  if (data.size() < start + length)
    return makeError(file + ": truncated npy header");
  llvm::StringRef header = data.substr(start, length);
  FileTensor t;
  auto after = [&](llvm::StringRef key) {
    return header.split(key).second.ltrim(" :");
  };
  llvm::StringRef descr = after("'descr'");
  t.dtype =
      descr.drop_front(1).take_until([](char c) { return c == '\''; }).str();
  if (after("'fortran_order'").starts_with("True"))
    return makeError(file + ": expected C order, got Fortran order");
  llvm::StringRef shape = after("'shape'").drop_front(1).take_until(
      [](char c) { return c == ')'; });
  llvm::SmallVector<llvm::StringRef> parts;
  shape.split(parts, ',');
  for (llvm::StringRef part : parts) {
    part = part.trim();
    int64_t d;
    if (part.empty())
      continue;
    if (part.getAsInteger(10, d))
      return makeError(file + ": npy shape is not a list of integers");
    t.shape.push_back(d);
  }
  t.bytes = data.drop_front(start + length);
  return t;
}

/// The tensor `name` of a safetensors file, or that of an npy file.
static llvm::Expected<std::vector<uint8_t>>
readTensor(const std::string &path, llvm::StringRef name,
           const std::vector<int64_t> &shape, DType type) {
  auto buffer = openFile(path);
  if (!buffer)
    return buffer.takeError();
  llvm::StringRef data = (*buffer)->getBuffer();
  bool npy = llvm::StringRef(path).ends_with(".npy");
  auto t = npy ? readNpy(data, path) : findSafetensor(data, path, name, true);
  if (!t)
    return t.takeError();
  return take(*t, path, name, shape,
              npy ? npyType(type) : safetensorsType(type), dtypeSize(type));
}

static std::vector<int64_t> outShape(const Problem &p) {
  return {p.batch, p.geometry.queryTokens(), p.heads, p.valueDim};
}

llvm::Expected<Inputs> monarch::makeInputs(const Problem &p,
                                           const std::string &spec) {
  llvm::StringRef text = spec;
  using Make = Inputs (*)(const Problem &, uint64_t);
  for (auto [kind, make] :
       {std::pair<const char *, Make>{"random:", randomInputs},
        {"spike:", spikeInputs},
        {"video:", videoInputs}}) {
    llvm::StringRef rest = text;
    if (!rest.consume_front(kind))
      continue;
    uint64_t seed;
    if (rest.getAsInteger(10, seed))
      return makeError("--input: expected a seed after '" + llvm::Twine(kind) +
                       "', got '" + rest + "'");
    return make(p, seed);
  }
  const Geometry &g = p.geometry;
  std::vector<int64_t> shapes[3] = {
      {p.batch, g.queryTokens(), p.heads, p.headDim},
      {p.batch, g.keyTokens(), p.heads, p.headDim},
      {p.batch, g.keyTokens(), p.heads, p.valueDim}};
  const char *names[3] = {"q", "k", "v"};
  Inputs in;
  std::vector<uint8_t> *tensors[3] = {&in.query, &in.key, &in.value};
  llvm::SmallVector<llvm::StringRef> files;
  bool safetensors = text.ends_with(".safetensors");
  if (safetensors)
    files.assign(3, text);
  else
    text.split(files, ',');
  if (!safetensors &&
      (files.size() != 3 || !llvm::all_of(files, [](llvm::StringRef file) {
         return file.ends_with(".npy");
       })))
    return makeError("--input: expected random:SEED, spike:SEED, video:SEED, "
                     "FILE.safetensors or q.npy,k.npy,v.npy, got '" +
                     text + "'");
  if (!safetensors && p.keyMask)
    return makeError("--input: npy files hold no key_mask; use safetensors");
  for (int i = 0; i < 3; ++i) {
    auto bytes = readTensor(files[i].str(), names[i], shapes[i], p.dtype);
    if (!bytes)
      return bytes.takeError();
    *tensors[i] = std::move(*bytes);
  }
  if (safetensors) {
    auto buffer = openFile(spec);
    if (!buffer)
      return buffer.takeError();
    auto t =
        findSafetensor((*buffer)->getBuffer(), text, "key_mask", p.keyMask);
    if (!t)
      return t.takeError();
    if (!p.keyMask && !t->dtype.empty())
      return makeError(text + ": holds a key_mask, but the problem takes none "
                              "(--key-mask)");
    if (p.keyMask) {
      auto bytes =
          take(*t, text, "key_mask", {p.batch, g.keyTokens()}, "BOOL", 1);
      if (!bytes)
        return bytes.takeError();
      in.keyMask = std::move(*bytes);
    }
  }
  return in;
}

llvm::Expected<std::vector<uint8_t>>
monarch::readOutput(const Problem &p, const std::string &path) {
  return readTensor(path, "out", outShape(p), p.dtype);
}

llvm::Error monarch::writeOutput(const Problem &p, const std::string &path,
                                 const std::vector<uint8_t> &out) {
  std::vector<int64_t> shape = outShape(p);
  std::string header;
  llvm::raw_string_ostream h(header);
  llvm::StringRef text = path;
  if (text.ends_with(".safetensors")) {
    std::string json =
        "{\"out\":{\"dtype\":\"" + std::string(safetensorsType(p.dtype)) +
        "\",\"shape\":" + shapeText(shape) + ",\"data_offsets\":[0," +
        std::to_string(out.size()) + "]}}";
    json.resize((json.size() + 7) / 8 * 8, ' ');
    char length[8];
    llvm::support::endian::write64le(length, json.size());
    h << llvm::StringRef(length, 8) << json;
  } else if (text.ends_with(".npy")) {
    std::string list = shapeText(shape);
    std::string dict = "{'descr': '" + std::string(npyType(p.dtype)) +
                       "', 'fortran_order': False, 'shape': (" +
                       list.substr(1, list.size() - 2) + "), }";
    dict.resize((10 + dict.size() + 64) / 64 * 64 - 11, ' ');
    dict += '\n';
    char length[2];
    llvm::support::endian::write16le(length, dict.size());
    h << llvm::StringRef("\x93NUMPY\x01\x00", 8) << llvm::StringRef(length, 2)
      << dict;
  } else {
    return makeError("--output: expected a .safetensors or .npy file, got '" +
                     text + "'");
  }
  return llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
    os << header;
    os.write(reinterpret_cast<const char *>(out.data()), out.size());
    return llvm::Error::success();
  });
}
