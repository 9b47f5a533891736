#!/usr/bin/env python3
"""Times ours and its peers on one GPU, one workload after the other, in one run.

    benchmarks/compare.py [--monarchrt CHECKOUT] [--cudnn] [--json FILE] [WORKLOAD...]

Ours is build/bin/monarch-run (or --monarch-run PATH), a median of 20 by CUDA
events after 3 warm-ups. Peers need PyTorch: MonarchRT's Triton kernels from a
checkout of its repository (wan/modules/monarch_attn.py, its public entry
monarch_attn, autotuned over block sizes of 32 to 128 and 2 or 3 stages, its
launches queued behind a spin kernel so that host time is hidden), and cuDNN's
dense attention. Inputs are random; nothing is timed on zeros.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
workloads = {w["name"]: w for w in
             json.loads((root / "benchmarks/workloads.json").read_text())["workloads"]
             if w["iterations"] == 1}


def ours(run, name):
    out = subprocess.run([run, f"--workload={name}", "--backend=cuda", "--bench",
                          "--verify=sample", "--json"],
                         capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{name}: monarch-run failed: {out.stderr.strip()}")
    return json.loads(out.stdout)


def median_ms(torch, call):
    """Median of 20 event timings; the GPU is kept busy while the host launches."""
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
    return statistics.median(times)


def tensors(torch, w):
    frames, height, width = w["grid"]
    queries = w.get("query_frames", frames) * height * width
    make = lambda n: torch.randn(1, n, w["heads"], 128, device="cuda",
                                 dtype=torch.bfloat16)
    return make(queries), make(frames * height * width), make(frames * height * width)


def monarchrt_ms(torch, module, w):
    _, height, width = w["grid"]
    tile = w["tile"]
    # Blocks of 16 only where a dimension is shorter than 32 (b1 = tf * th).
    least = 16 if min(tile[0] * tile[1], tile[2]) < 32 else 32
    for kernel, configs in module.all_configs.items():
        kernel.configs = [c for c in configs if c.num_stages in (2, 3)
                          and all(least <= size <= 128 for key, size in c.kwargs.items()
                                  if key.startswith("BLOCK"))]
    q, k, v = tensors(torch, w)
    call = lambda: module.monarch_attn(q, k, v, tile[0], height // tile[1],
                                       width // tile[2], height, width, num_iters=1)
    with torch.no_grad():
        return median_ms(torch, call)


def cudnn_ms(torch, w):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    q, k, v = (t.transpose(1, 2) for t in tensors(torch, w))
    call = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)
    with torch.no_grad(), sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return median_ms(torch, call)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", default=list(workloads))
    parser.add_argument("--monarch-run", default=str(root / "build/bin/monarch-run"))
    parser.add_argument("--monarchrt", help="checkout of the MonarchRT repository")
    parser.add_argument("--cudnn", action="store_true", help="time cuDNN dense attention")
    parser.add_argument("--json", help="write all figures to this file")
    args = parser.parse_args()
    for name in args.workloads:
        if name not in workloads:
            parser.error(f"unknown workload '{name}', expected {', '.join(workloads)}")
    torch = module = None
    if args.monarchrt or args.cudnn:
        import torch
    if args.monarchrt:
        module = load_monarchrt(args.monarchrt)
    rows = []
    print(f"{'workload':28}{'ours ms':>9}{'error':>10}{'Triton ms':>11}{'ratio':>7}"
          f"{'cuDNN ms':>10}{'ratio':>7}", flush=True)
    for name in args.workloads:
        row = {"workload": name, "ours": ours(args.monarch_run, name)}
        ms = row["ours"]["median_ms"]
        line = f"{name:28}{ms:9.3f}{row['ours']['relative_error']:10.1e}"
        for key, timed in (("monarchrt_ms", module and (lambda: monarchrt_ms(torch, module, workloads[name]))),
                           ("cudnn_ms", args.cudnn and (lambda: cudnn_ms(torch, workloads[name])))):
            if timed:
                row[key] = timed()
                torch.cuda.empty_cache()
                line += f"{row[key]:{11 if key[0] == 'm' else 10}.3f}{row[key] / ms:7.2f}"
            else:
                line += " " * (18 if key[0] == "m" else 17)
        print(line, flush=True)
        rows.append(row)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
