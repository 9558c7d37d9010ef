"""Who does what in front of which RICH camera at which frame, with every trap of the real tree planted once."""

from dataclasses import dataclass

from sahmr.demo.places.captures import Capture, rich_captures

# resource/gender.json of the publishers' toolkit: subject -> gender.
FEMALE = (9, 10, 12, 13, 16, 17, 18, 19, 21)
GENDERS = {str(subject): "female" if subject in FEMALE else "male" for subject in range(22)}
INTERVAL = {"train": 15, "val": 30, "test": 30}
WARMUP_FRAMES = 45
MOVING_CAMERA = 10  # in the tree, but never calibrated

ALL_KINDS = ("stand", "walk", "sit", "lie", "lean", "squat", "reach")
_ACTIVE = ("stand", "walk", "sit", "squat", "reach")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much to make: pictures per camera of each sequence and split, and PROX frames per recording.

    ``cameras`` limits how many cameras a capture has; those with planted traps are kept.
    """

    train: int = 8
    val: int = 4
    test: int = 6
    quantitative: int = 12
    qualitative: int = 10
    scan_spacing_m: float = 0.07
    sdf_side: int = 96
    cameras: int = 10


# For tests: every trap, but only two cameras where none is planted.
TINY = DemoSize(train=1, val=1, test=1, quantitative=2, qualitative=2, scan_spacing_m=0.15, sdf_side=32, cameras=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One row (or, with two subjects, two rows) of a split table."""

    split: str
    capture: str
    scan: str
    subjects: tuple[int, ...]
    action: str
    kinds: tuple[str, ...] = ALL_KINDS
    moving_camera: bool = False

    @property
    def name(self) -> str:
        """The folder name: capture, three-digit subjects, action."""
        return "_".join([self.capture, *(f"{s:03d}" for s in self.subjects), self.action])


_PLAIN, _CHAIR, _YOGA = "scan_camcoord", "scan_chair_scene_camcoord", "scan_yoga_scene_camcoord"
SEQUENCES = (
    Sequence(split="train", capture="BBQ", scan=_PLAIN, subjects=(1,), action="guitar"),
    Sequence(split="train", capture="BBQ", scan=_PLAIN, subjects=(13,), action="juggle"),
    Sequence(split="train", capture="LectureHall", scan=_CHAIR, subjects=(3,), action="wipingchairs1"),
    Sequence(split="train", capture="ParkingLot1", scan=_PLAIN, subjects=(2,), action="overfence1"),
    Sequence(split="train", capture="ParkingLot1", scan=_PLAIN, subjects=(4, 5), action="greetingchattingeating1",
             kinds=_ACTIVE),
    Sequence(split="train", capture="ParkingLot1", scan=_PLAIN, subjects=(19,), action="pushup2", moving_camera=True),
    Sequence(split="train", capture="ParkingLot2", scan=_PLAIN, subjects=(17,), action="eating1"),
    Sequence(split="train", capture="ParkingLot2", scan=_PLAIN, subjects=(16,), action="phonetalk1"),
    Sequence(split="train", capture="Pavallion", scan=_PLAIN, subjects=(0,), action="plankjack"),
    Sequence(split="train", capture="Pavallion", scan=_PLAIN, subjects=(18,), action="sidebalancerun"),
    Sequence(split="val", capture="LectureHall", scan=_CHAIR, subjects=(20,), action="sidebalancerun"),
    Sequence(split="val", capture="ParkingLot1", scan=_PLAIN, subjects=(7,), action="eating2"),
    Sequence(split="val", capture="Pavallion", scan=_PLAIN, subjects=(18,), action="yoga1"),
    Sequence(split="test", capture="Gym", scan=_PLAIN, subjects=(11,), action="cooking1"),
    Sequence(split="test", capture="Gym", scan=_PLAIN, subjects=(12,), action="pushup1"),
    Sequence(split="test", capture="LectureHall", scan=_YOGA, subjects=(9, 21), action="reparingprojector1",
             kinds=_ACTIVE),
    Sequence(split="test", capture="LectureHall", scan=_YOGA, subjects=(10,), action="yoga2"),
)  # fmt: skip


# Planted traps and portrait cameras: these views exist in every size of the demo.
_KEPT_CAMERAS = {*(("ParkingLot1", camera) for camera in range(5)), ("Pavallion", 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One picture to take: a frame of a sequence by one camera.

    ``body_hidden``: the person stands where this camera's picture does not reach. ``contact``: labels are written
    ("full"), written without colors ("uncolored"), or missing ("none").
    """

    sequence: Sequence
    frame: int
    body_hidden: bool = False
    contact: str = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """Everything one camera of one capture and scan has to photograph."""

    capture: Capture
    camera: int
    moments: tuple[Moment, ...]


def plan_rich(size: DemoSize) -> tuple[ViewPlan, ...]:
    """All pictures of the tree, camera by camera."""
    plans = []
    for capture in rich_captures():
        used = [c for c in range(len(capture.cameras)) if c < size.cameras or (capture.name, c) in _KEPT_CAMERAS]
        for camera in used:
            moments = [
                moment
                for number, sequence in enumerate(SEQUENCES)
                if (sequence.capture, sequence.scan) == (capture.name, capture.scan)
                for moment in _moments(sequence, number, camera, size)
            ]
            plans.append(ViewPlan(capture=capture, camera=camera, moments=tuple(moments)))
    return tuple(plans)


def _moments(sequence: Sequence, number: int, camera: int, size: DemoSize) -> list[Moment]:
    interval = INTERVAL[sequence.split]
    count: int = getattr(size, sequence.split)
    if len(sequence.subjects) > 1:
        count = max(1, count // 2)
    first = 4 + 2 * (number % 3)  # no sequence starts at frame 1
    steps = [first + k + k // 3 for k in range(count)]  # every fourth moment is missing
    moments = [Moment(sequence=sequence, frame=step * interval - camera) for step in steps]
    if sequence.action == "overfence1":
        moments += _planted(sequence, camera, steps[-1] + 2, interval)
    if sequence.action == "pushup1" and camera == 0:
        moments.append(Moment(sequence=sequence, frame=interval))  # warm-up in the test split
    return moments


def _planted(sequence: Sequence, camera: int, step: int, interval: int) -> list[Moment]:
    """What the selection rules must drop, and the two kinds of missing labels."""
    if camera == 0:
        return [Moment(sequence=sequence, frame=WARMUP_FRAMES - 15), Moment(sequence=sequence, frame=WARMUP_FRAMES)]
    if camera == 1:
        return [Moment(sequence=sequence, frame=step * interval - camera + 4)]
    if camera == 2:
        return [Moment(sequence=sequence, frame=step * interval - camera, body_hidden=True)]
    if camera == 3:
        return [Moment(sequence=sequence, frame=step * interval - camera, contact="uncolored")]
    if camera == 4:
        return [Moment(sequence=sequence, frame=step * interval - camera, contact="none")]
    return []
