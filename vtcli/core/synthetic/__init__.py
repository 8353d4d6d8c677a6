"""Synthetic people in synthetic garments: VITON-like data without a photo of anybody, annotated exactly.

The same person can be rendered in any garment, so unpaired try-on has a truth to compare with.

>>> rng = np.random.default_rng(0)
>>> person, garment = random_person(rng), random_garment(rng)
>>> photo = draw_person(person, garment)        # image, parse, keypoints, neck
>>> cloth, mask = draw_cloth(garment)           # the shop photo
>>> triplet = draw_triplet(rng)                 # person in A, shop photo of B, the same person in B

`python -m vtcli.core.synthetic OUT_DIR --train N --test M --seed S` writes a VITON folder, `python -m
vtcli.core.synthetic triplets OUT_DIR ...` chunks of triplets (`__main__`). Needs NumPy, SciPy, OpenCV and Pillow.

people     who: body, face, hair, pose, trousers, backdrop
garments   what: cut, fabric, pattern; where its edges run and the colour of each spot
bodies     body meshes (baked in bodies.npz by `bake`), mixed and posed
hair       caps and locks
cloth      a garment's surface on a body
dressing   a posed person and what is worn, as meshes (things: bags, straps, what a hand holds)
variety    people and garments of more kinds, as triplets have them
scene      the camera, the meshes of a picture, what is seen of them (raster: the z-buffer)
shade      light and materials (backdrops: other than the studio's)
worn       a garment in a scene, and which spot of one picture is which of another
render     a person in a garment: photo, parse, joints
shop       a garment's shop photo
generate   VITON folders of pairs
triplets   triplets and their chunks
"""

from vtcli.core.synthetic.garments import SyntheticGarment, random_garment
from vtcli.core.synthetic.generate import draw_pair, write_viton
from vtcli.core.synthetic.people import SyntheticPerson, random_person
from vtcli.core.synthetic.render import RenderedPerson, draw_person
from vtcli.core.synthetic.shop import draw_cloth
from vtcli.core.synthetic.triplets import Triplet, draw_triplet, write_triplets

__all__ = [
    "RenderedPerson",
    "SyntheticGarment",
    "SyntheticPerson",
    "Triplet",
    "draw_cloth",
    "draw_pair",
    "draw_person",
    "draw_triplet",
    "random_garment",
    "random_person",
    "write_triplets",
    "write_viton",
]
