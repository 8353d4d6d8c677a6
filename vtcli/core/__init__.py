"""The work itself: no flags, no terminal, no exit codes. Progress is reported by yielding or by a callback.

models      the paper: networks, I_p, the thin-plate spline, equation (1)
training    a prepared store in, a network's weights out
tryon       two photos in, one picture out; or a whole split of a store
scoring     results folders in, metrics and a report out
data        files on disk → arrays: data folders, photos, the prepared store, results
garments    a shop photo → the garment's mask, its collar, its place
synthetic   synthetic people in synthetic garments, to train and test on
system      processes, devices, locks, files, errors

Imports go one way: tryon, training, scoring → models → data → garments → system; synthetic → data.
"""
