"""Which label describes a picture best: python3 classify.py MODEL PICTURE LABEL...   (needs nothing but libcuclip.so)"""
import ctypes
import os
import sys


class Label(ctypes.Structure):  # cuclip_label
    _fields_ = [("index", ctypes.c_size_t), ("probability", ctypes.c_double), ("similarity", ctypes.c_float)]


cuclip = ctypes.CDLL("libcuclip.so.0.1")
cuclip.cuclip_last_error.restype = ctypes.c_char_p


def call(function, *arguments):
    if function(*arguments) != 0:
        sys.exit("classify: " + cuclip.cuclip_last_error().decode())


if len(sys.argv) < 4:
    print("usage: classify.py MODEL PICTURE LABEL...", file=sys.stderr)
    sys.exit(2)
model, picture, *names = map(os.fsencode, sys.argv[1:])  # the bytes that the shell handed over
size = ctypes.c_size_t(len(names))
clip, labels, ranked = ctypes.c_void_p(), (ctypes.c_char_p * len(names))(*names), (Label * len(names))()
call(cuclip.cuclip_clip_load, model, None, ctypes.byref(clip))
call(cuclip.cuclip_classify_file, clip, picture, labels, size, None, ctypes.c_size_t(0), ranked)
for label in ranked:
    print(f"{100 * label.probability:6.2f} %  {names[label.index].decode()}")
call(cuclip.cuclip_clip_free, clip)
