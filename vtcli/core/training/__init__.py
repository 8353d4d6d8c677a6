"""Training: a prepared store in, a network's weights out.

run.py            from options to a trained stage: opens the store, chooses validation pairs, builds the stage
options.py        what a run was asked to do, and each stage's defaults
trainer.py        the one training loop of all stages; state, learning rate, validation, checkpoints
stage.py          what the loop asks of a stage; which samples make up which batch
gmm.py            stage `gmm`: the warp, with the paper's auxiliary decoder to M_exp
tom.py            stage `tom`: the composition, likewise, and an optional discriminator
parser.py         stage `parser`: photo → parse and joints, for photos that come without annotations
cpvton_recipe.py  the stages `gmm` and `tom` as CP-VTON's public code trains them (recipe `cpvton`)
flow_losses.py    losses of lite's GMM: of a dense flow, against photos and against the truth of synthetic people
losses.py         losses that stages share: weighted cross-entropy of M_exp, perceptual distances, multi-scale SSIM
discriminator.py  the discriminator of stage `tom` and its losses
pairs.py          pairs of a store as augmented batches
augment.py        augmentation of single pictures
resident.py       the samples in the device's memory, as batches that are made and augmented there
device_augment.py augmentation of whole batches on the device
captured.py       steps as CUDA graphs
backgrounds.py    people set on other backgrounds
ema.py            the moving average of the weights, which is validated and shipped
checkpoint.py     the run's state and everything else that resuming needs, in one file
logs.py           log.jsonl, TensorBoard, contact sheets
prefetch.py       threads prepare batches ahead of the step
signals.py        Ctrl-C and SIGTERM as a flag
"""
