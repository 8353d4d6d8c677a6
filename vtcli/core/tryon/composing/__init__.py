"""From what the networks say at 256×192 to the picture at the photo's resolution.

- `composer`: the whole way, for a photo and for a batch
- `maps`: what the photo shows and what M_exp expects, by
  - the old garment: `old_garment` (what the parse missed of it, and dresses), `neck` (skin that labels call background)
  - the new one: `full_warp` (warped at that resolution), `garment_edge` (where it is), `sleeve_hems` (how sleeves end)
  - what it bares: `bared_arms` (how wide arms are), `waist` (where a short top leaves skin)
- `layers`: what lies beneath, where the garment shows, where the photo stays, by
  - `filling`: what appears where the old garment goes
  - drawn skin: `even_skin` (without stains), `grain` (its grain), `shoulder_line` (where shoulders end)
- `planes`: maps enlarged, with edges where the photo has them
"""
