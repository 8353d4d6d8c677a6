"""Drawn people in drawn garments: VITON-like data without a photo of anybody, with exact annotations.

The same person can be drawn in any garment, so unpaired try-on has a truth to compare with.

>>> rng = np.random.default_rng(0)
>>> person, garment = random_person(rng), random_garment(rng)
>>> drawn = draw_person(person, garment)        # image, parse, keypoints, neck
>>> cloth, mask = draw_cloth(garment)           # the shop photo

`python -m vtcli.core.synthetic OUT_DIR --train N --test M --seed S` writes a VITON folder. Needs NumPy,
SciPy, OpenCV and Pillow; the bodies come baked in `bodies.npz` (see `bake`).
"""

from vtcli.core.synthetic.garments import Garment, random_garment
from vtcli.core.synthetic.generate import draw_pair, write_viton
from vtcli.core.synthetic.people import Person, random_person
from vtcli.core.synthetic.render import DrawnPerson, draw_cloth, draw_person

__all__ = [
    "DrawnPerson",
    "Garment",
    "Person",
    "draw_cloth",
    "draw_pair",
    "draw_person",
    "random_garment",
    "random_person",
    "write_viton",
]
