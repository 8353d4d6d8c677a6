"""A data folder → the prepared store: read, check, drop duplicates, make what is missing, write shards.

In the order in which a pair passes through:

    plan           the options, and what is to be made of one split
    pair_reader    one pair's files → its arrays, checked, hashed and at the store's size
    annotator      parse maps and joints that are missing, by the parser; garments that colours do not tell, by their network
    compare        a sample of what came with the data set, held against what vtcli sees
    parts          where several processes read: what each has read, before it becomes shards
    shards         which pairs go into which shard; duplicates go by content
    writing        reads what is not in the store yet, and writes the shards
    journal        which inputs each finished shard came from: a later run goes on from there
    resume         what of an earlier run can be kept
    summary        the manifest, `skipped.csv`, and what has become of the split
    events         what is reported on the way
    run            `prepare`: the splits in their order
"""

from vtcli.core.data.prepare.annotator import Annotate, LoadAnnotator
from vtcli.core.data.prepare.events import Advanced, Doubt, Event, LayoutFound, SplitDone, SplitStarted
from vtcli.core.data.prepare.plan import PrepareOptions
from vtcli.core.data.prepare.run import prepare

__all__ = [
    "Advanced",
    "Annotate",
    "Doubt",
    "Event",
    "LayoutFound",
    "LoadAnnotator",
    "PrepareOptions",
    "SplitDone",
    "SplitStarted",
    "prepare",
]
