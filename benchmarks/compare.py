#!/usr/bin/env python3
"""Times ours and its peers on one GPU, one workload after the other, in one run.

    benchmarks/compare.py [--monarchrt CHECKOUT] [--cudnn] [--flash] [--json FILE] [--svg FILE] [WORKLOAD...]

Ours is build/bin/monarch-run (or --monarch-run PATH), a median of 20 by CUDA
events after 3 warm-ups. Peers need PyTorch: MonarchRT's Triton kernels from a
checkout of its repository (wan/modules/monarch_attn.py, its public entry
monarch_attn, autotuned over block sizes of 32 to 128 and 2 or 3 stages, its
launches queued behind a spin kernel so that host time is hidden), and dense
attention by cuDNN and by FlashAttention-2, both through PyTorch. Inputs are
random; nothing is timed on zeros. Beside peers ours runs on their inputs, which
NumPy writes to files (up to 3.1 GB in a temporary folder, for 40 heads at 720p).
What Triton gives on them meets the same oracle at the same sample: its error is
printed, and ours in units of it.

The floor of a workload is the useful arithmetic at 790 TFLOP/s, what wgmma
sustains on an H100 or H200 in a large product. A line for each of its kernels
follows: their floor is the larger of their own arithmetic and the traffic they
cannot avoid at the card's memory bandwidth.
"""
import argparse
import chart
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
workloads = {w["name"]: w for w in
             json.loads((root / "benchmarks/workloads.json").read_text())["workloads"]
             if w["iterations"] == 1}


flops_per_s = 790e12
# Bytes a second of a card's memory: of an H200 as measured (reads of a large
# buffer), of an H100 the nominal figure.
bytes_per_s = {"NVIDIA H200": 4.65e12, "NVIDIA H100 80GB HBM3": 3.35e12}


def work(w, kernel):
    """What a kernel cannot do without: floating-point operations, and bytes read
    and written. `attention` is both steps in one.

    A multiply-add is two operations. For every query and key tile there are
    three products of b2 x D in the R step, two of b1 x D in the L step
    (docs/semantics.md, "Effort and sparsity"; blocks (fh, w)). Tensors are bf16
    and are read or written once. So is what the steps hand on where they are
    kernels apart, for every pair (a, j) and row (c, k) of keys: AL and Y in bf16
    and cL in f32."""
    frames, height, width = w["grid"]
    tf, th, tw = w["tile"]
    query_frames = w.get("query_frames", frames)
    tiles_of = lambda f: -(-f // tf) * -(-height // th) * -(-width // tw)
    tiles = tiles_of(frames)
    queries, keys = (f * height * width for f in (query_frames, frames))
    r, l = 3 * tw, 2 * tf * th
    q = out = w["heads"] * queries * 128 * 2
    kv = 2 * w["heads"] * keys * 128 * 2
    between = (w["heads"] * tiles_of(query_frames) * tw * tiles * tf * th
               * (2 * 128 * 2 + 4))
    products, moved = {"r_step": (r, q + kv + between),
                       "l_step": (l, q + between + out),
                       "attention": (r + l, q + kv + out)}[kernel]
    return 2 * w["heads"] * queries * tiles * products * 128, moved


def kernel_figures(w, device, kernel):
    """A kernel of monarch-run's report, with what it reaches. There is no floor
    on a card whose bandwidth is not known here."""
    flops, moved = work(w, kernel["name"])
    ms = kernel["median_ms"]
    figures = {**kernel, "tflops": flops / ms / 1e9, "gbytes_per_s": moved / ms / 1e6}
    if device in bytes_per_s:
        floor = max(flops / flops_per_s, moved / bytes_per_s[device])
        figures["floor_ms"] = floor * 1e3
    return figures


def monarch_run(run, name, flags):
    """monarch-run's report on a workload. Wrong results, of a peer too, end the
    comparison."""
    out = subprocess.run([run, f"--workload={name}", "--verify=sample", "--json", *flags],
                         capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{name}: monarch-run {' '.join(flags)} failed: "
                 f"{(out.stderr or out.stdout).strip()}")
    return json.loads(out.stdout)


def save(torch, path, tensor):
    """As monarch-run reads it: npy has no bf16, the file holds its 16 bits."""
    import numpy
    numpy.save(path, tensor.contiguous().view(torch.int16).cpu().numpy().view("uint16"))
    return str(path)


def timings(torch, call):
    """20 event timings, sorted; the GPU is kept busy while the host launches."""
    for _ in range(3):
        call()
    times = []
    for _ in range(20):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(100_000_000)  # about 50 ms
        start.record()
        call()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return sorted(times)


def tensors(torch, w):
    frames, height, width = w["grid"]
    queries = w.get("query_frames", frames) * height * width
    make = lambda n: torch.randn(1, n, w["heads"], 128, device="cuda",
                                 dtype=torch.bfloat16)
    return make(queries), make(frames * height * width), make(frames * height * width)


def monarchrt(module, w, q, k, v):
    _, height, width = w["grid"]
    tile = w["tile"]
    # Blocks of 16 only where a dimension is shorter than 32 (b1 = tf * th).
    least = 16 if min(tile[0] * tile[1], tile[2]) < 32 else 32
    for kernel, configs in module.all_configs.items():
        kernel.configs = [c for c in configs if c.num_stages in (2, 3)
                          and all(least <= size <= 128 for key, size in c.kwargs.items()
                                  if key.startswith("BLOCK"))]
    return lambda: module.monarch_attn(q, k, v, tile[0], height // tile[1],
                                       width // tile[2], height, width, num_iters=1)


def dense(torch, backend, q, k, v):
    """`backend`: a name of torch.nn.attention.SDPBackend."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))

    def call():
        with sdpa_kernel(getattr(SDPBackend, backend)):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return call


def load_monarchrt(checkout):
    """The module, and the configurations its autotuners started with."""
    path = pathlib.Path(checkout)
    folder = path / "wan/modules" if (path / "wan").is_dir() else path
    sys.path.insert(0, str(folder))
    import monarch_attn
    monarch_attn.all_configs = {
        kernel: list(kernel.configs)
        for kernel in (monarch_attn._al_cl_y_fwd, monarch_attn._z_fwd)}
    return monarch_attn


def measure(torch, peers, args, folder):
    rows = []
    print(f"{'workload':28}{'ours ms':>9}{'error':>10}{'TFLOP/s':>9}{'GB/s':>8}{'of floor':>10}"
          + "".join(f"{title + ' ms':>12}{'ratio':>7}"
                    + (f"{'error':>10}{'ratio':>7}" if key == "monarchrt" else "")
                    for key, title in peers), flush=True)
    for name in args.workloads:
        inputs, source = [], []
        if peers:
            inputs = tensors(torch, workloads[name])
            files = [save(torch, folder / f"{n}.npy", t) for n, t in zip("qkv", inputs)]
            source = [f"--input={','.join(files)}"]
        row = {"workload": name,
               "ours": monarch_run(args.monarch_run, name,
                                   [*source, "--backend=cuda", "--bench"])}
        ms = row["ours"]["median_ms"]
        flops, _ = work(workloads[name], "attention")
        row["tflops"] = flops / ms / 1e9
        row["floor_ms"] = flops / flops_per_s * 1e3
        row["kernels"] = [kernel_figures(workloads[name], row["ours"]["device"], k)
                          for k in row["ours"].pop("kernels")]
        line = (f"{name:28}{ms:9.3f}{row['ours']['relative_error']:10.1e}"
                f"{row['tflops']:9.1f}{'':8}{row['floor_ms'] / ms:10.0%}")
        for (key, _), peer in peers.items():
            call = peer(workloads[name], *inputs)
            times = timings(torch, call)
            row[f"{key}_ms"] = statistics.median(times)
            row[f"{key}_ms_spread"] = [times[0], times[-1]]
            line += f"{row[f'{key}_ms']:12.3f}{row[f'{key}_ms'] / ms:7.2f}"
            if key == "monarchrt":
                file = save(torch, folder / "out.npy", call())
                theirs = monarch_run(args.monarch_run, name,
                                     [*source, f"--candidate={file}"])["relative_error"]
                row["monarchrt_error"] = theirs
                row["error_ratio"] = row["ours"]["relative_error"] / theirs
                line += f"{theirs:10.1e}{row['error_ratio']:7.2f}"
            torch.cuda.empty_cache()
        print(line, flush=True)
        for k in row["kernels"]:
            fraction = f"{k['floor_ms'] / k['median_ms']:.0%}" if "floor_ms" in k else "-"
            print(f"  {k['name']:26}{k['median_ms']:9.3f}{'':10}{k['tflops']:9.1f}"
                  f"{k['gbytes_per_s']:8.0f}{fraction:>10}", flush=True)
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", default=list(workloads))
    parser.add_argument("--monarch-run", default=str(root / "build/bin/monarch-run"))
    parser.add_argument("--monarchrt", help="checkout of the MonarchRT repository")
    parser.add_argument("--cudnn", action="store_true", help="time cuDNN dense attention")
    parser.add_argument("--flash", action="store_true",
                        help="time FlashAttention-2 dense attention")
    parser.add_argument("--json", help="write all figures to this file: medians, and least and most")
    parser.add_argument("--svg", help="draw a chart of them to this file")
    args = parser.parse_args()
    for name in args.workloads:
        if name not in workloads:
            parser.error(f"unknown workload '{name}', expected {', '.join(workloads)}")
    torch = None
    if args.monarchrt or args.cudnn or args.flash:
        import torch
        torch.set_grad_enabled(False)
    # Each gives what to call on a workload's inputs.
    peers = {}
    if args.monarchrt:
        module = load_monarchrt(args.monarchrt)
        peers["monarchrt", "Triton"] = lambda w, *qkv: monarchrt(module, w, *qkv)
    if args.cudnn:
        peers["cudnn", "cuDNN"] = lambda w, *qkv: dense(torch, "CUDNN_ATTENTION", *qkv)
    if args.flash:
        peers["flash", "Flash-2"] = lambda w, *qkv: dense(torch, "FLASH_ATTENTION", *qkv)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(torch, peers, args, pathlib.Path(folder))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")
    if args.svg:
        pathlib.Path(args.svg).write_text(chart.chart(rows))


if __name__ == "__main__":
    main()
