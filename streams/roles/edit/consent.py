"""Who has to have agreed before a photo is edited."""

from __future__ import annotations

from models.ports import FaceDetector
from processors.errors import Code, Poison
from streams.contract.edits import EditRequest

FIELD = "consent"
ASK = "who is to be seen on the photo has to agree: send `consent: true` if they have"


def looked_for(request: EditRequest, rule: str) -> bool:
    """Whether the photo is looked at for faces before it is edited.

    Not where consent is stated, and not where the photo is a product's of the catalogue: whoever put it there has answered for it.

    Raises:
        Poison: it is refused whatever the photo shows.
    """
    shops_own = request.image is not None and request.image.product_id is not None
    if request.consent is False or (rule == "always" and request.consent is not True and not shops_own):
        raise Poison(ASK, field=FIELD, code=Code.CONSENT_NEEDED)
    return rule == "faces" and request.consent is not True and not shops_own


def check_seer(faces: FaceDetector | None) -> FaceDetector:
    """What looks. Raises `Poison` where nothing does: nobody can say then that there is no face."""
    if faces is None:
        raise Poison(
            f"nobody here can tell whether a face is to be seen on the photo (`weft models pull starter` fetches what can): {ASK}",
            field=FIELD,
            code=Code.CONSENT_NEEDED,
        )
    return faces


def check_faces(count: int) -> None:
    """Raises `Poison` where faces were seen."""
    if count:
        seen = "a face is" if count == 1 else f"{count} faces are"
        raise Poison(f"{seen} to be seen on the photo: {ASK}", field=FIELD, code=Code.CONSENT_NEEDED)
