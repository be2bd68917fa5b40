const REPLACEMENT = "\ufffd";
const MALFORMED = -1;

/** Decodes UTF-8; what is malformed becomes U+FFFD. Written out because TextDecoder is no part of the language. */
export function decodeUtf8(view: DataView, off: number, lenBytes: number): string {
  let text = "";
  const end = off + lenBytes;
  for (let at = off; at < end;) {
    const length = sequenceBytes(view.getUint8(at));
    const codePoint = at + length <= end ? readSequence(view, at, length) : MALFORMED;
    text += codePoint === MALFORMED ? REPLACEMENT : String.fromCodePoint(codePoint);
    at += codePoint === MALFORMED ? 1 : length;
  }
  return text;
}

/** Encodes a string as UTF-8. */
export function encodeUtf8(text: string): Uint8Array {
  const escaped = encodeURIComponent(text.toWellFormed());
  const bytes = escaped.match(/%[0-9A-F]{2}|[^%]/g) ?? [];
  return Uint8Array.from(bytes, (item) =>
    item.length === 3 ? Number.parseInt(item.slice(1), 16) : item.charCodeAt(0),
  );
}

function sequenceBytes(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

function readSequence(view: DataView, at: number, length: number): number {
  const first = view.getUint8(at);
  if (length === 1) return first;
  if (first < 0xc2 || first > 0xf4) return MALFORMED;
  let codePoint = first & (0x7f >>> length);
  for (let idx = 1; idx < length; idx++) {
    const next = view.getUint8(at + idx);
    if ((next & 0xc0) !== 0x80) return MALFORMED;
    codePoint = (codePoint << 6) | (next & 0x3f);
  }
  return isEncodable(codePoint, length) ? codePoint : MALFORMED;
}

function isEncodable(codePoint: number, length: number): boolean {
  if (length === 3) return codePoint >= 0x800 && (codePoint < 0xd800 || codePoint > 0xdfff);
  return length === 2 || (codePoint >= 0x10000 && codePoint <= 0x10ffff);
}
