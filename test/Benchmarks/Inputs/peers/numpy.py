"""As much of NumPy as compare.py uses: nothing but unsigned 16-bit files."""


def save(path, array):
    assert array.dtype == "uint16" and len(array.shape) == 4
    path.write_text(str(array.shape))
