"""Where each sealed text stands. A ciphertext moved to another row, column or key does not open."""

from uuid import UUID


def vacancy(letter_id: UUID) -> str:
    return f"letters.vacancy:{letter_id}"


def title(letter_id: UUID) -> str:
    return f"letters.title:{letter_id}"


def resume(letter_id: UUID) -> str:
    return f"letters.resume:{letter_id}"


def wish(letter_id: UUID, number: int) -> str:
    return f"letter_versions.wish:{letter_id}/{number}"


def text(letter_id: UUID, number: int) -> str:
    return f"letter_versions.text:{letter_id}/{number}"


def live(letter_id: UUID, number: int, lease_number: int) -> str:
    return f"live:{letter_id}/{number}/{lease_number}"


def page(person_id: UUID) -> str:
    return f"page:{person_id}"
