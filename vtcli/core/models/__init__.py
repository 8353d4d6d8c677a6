"""Networks, and what lies between them. Presets: "paper" (CP-VTON with the paper's auxiliary
decoders), "paper-small" (the same with fewer channels), "lite".

Read in this order; nothing imports upward:

body → I_p      representation.py  the person representation: shape, kept pixels, pose
θ → grid        tps.py             the thin-plate spline, and sampling on its grid
I_try-on        composition.py     equation (1), and where `keep` lets the photo stay
networks        common.py          what both presets share: GMMOutput, TOMOutput, L2 norm, correlation
                cpvton.py          the paper's figure 1: GMM, U-Net, both auxiliary decoders
                flow.py            offsets of a dense warp, at any resolution; no folds
                sleeve.py          where a garment's own sleeves end, laid along the person's arms
                lite_gmm.py        lite's GMM: the spline, a dense flow after it, M_exp
                lite_tom.py        lite's TOM: half resolution, kept pixels let through, relighting
                presets.py         the presets by name
                parser.py          photo → labels and joints, on efficientnet.py
                kind.py            a garment's picture → its kind, on efficientnet.py and on what the parser sees
                outline.py         a garment's picture → where it lies on any background, and which way up
                blocks.py          small blocks of all of them; relighting.py: I_rp's brightness for I_warp
stage one       warping.py         people and garments → warped garments
files           weights.py, load.py, folding.py  weights files → networks, fast ones for inference; foreign.py: other programs'
                files; importing.py: CP-VTON's; lite0.py: ImageNet's
"""
