"""forms: the fields of a small form, in either of the two encodings that RFC 8058 has mail programs send it in."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

_MOST_FIELDS = 10


def fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form by name; nothing, if it is none. What cannot be read is no field."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            return {}
    return _parts(content_type, body) if kind == "multipart/form-data" else {}


def _parts(content_type: str, body: bytes) -> dict[str, str]:
    """Read a multipart form (RFC 7578) as the MIME that it is."""
    if not content_type.isascii() or not content_type.isprintable():
        return {}
    whole = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    found = {}
    for part in list(whole.iter_parts())[:_MOST_FIELDS] if whole.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = content.decode("utf-8", "replace").strip()
    return found
