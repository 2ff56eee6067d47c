"""Telephone numbers in E.164, the form that every provider takes: `+`, the country's code, the number, digits only.

https://www.itu.int/rec/T-REC-E.164
"""

from __future__ import annotations

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from outbox.addresses import NUMBER, bare_number

_SHAPE = "a number is + and digits, with the country's code first, such as +14155550100"
_PROBLEMS = {
    ValidationResult.INVALID_COUNTRY_CODE: "no country has the code that this number begins with",
    ValidationResult.TOO_SHORT: "this number has too few digits for its country",
    ValidationResult.TOO_LONG: "this number has too many digits for its country",
    ValidationResult.INVALID_LENGTH: "no number of its country has as many digits as this one",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "this number lacks its area code",
}
_UNREADABLE = {
    NumberParseException.INVALID_COUNTRY_CODE: ValidationResult.INVALID_COUNTRY_CODE,
    NumberParseException.TOO_LONG: ValidationResult.TOO_LONG,
}


def wire_number(number: str) -> str:
    """Return a number as it is dialled from anywhere, such as `+14155550100`. Punctuation is taken out.

    Its length must be one that its country has. Whether it lies in a range that is given out is not asked: ranges are
    opened faster than a list of them is installed, and the provider knows.

    Raises:
        ValueError: it is no such number; one sentence that says why, and never repeats it.
    """
    digits = bare_number(number)
    if NUMBER.fullmatch(digits) is None:
        raise ValueError(_SHAPE)
    try:
        parsed = phonenumbers.parse(digits)
    except NumberParseException as error:
        problem = _UNREADABLE.get(error.error_type, ValidationResult.TOO_SHORT)
    else:
        problem = phonenumbers.is_possible_number_with_reason(parsed)
        if problem == ValidationResult.IS_POSSIBLE:
            return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    raise ValueError(_PROBLEMS[problem])
