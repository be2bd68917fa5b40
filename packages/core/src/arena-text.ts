/** Bytes of text in `words` arena words: the first word is the length of the whole text, the others hold its beginning. */
function textBytes(words: number): number {
  return (words - 1) * 4;
}

/**
 * Writes `text` at word `at`: what fits of it, one byte a character ("?" for those beyond Latin-1), and how long it is.
 * Control path.
 */
export function writeText(i32: Int32Array, at: number, words: number, text: string): void {
  i32.fill(0, at, at + words);
  i32[at] = text.length;
  const kept = Math.min(text.length, textBytes(words));
  for (let n = 0; n < kept; n++) {
    const code = text.charCodeAt(n);
    const word = at + 1 + (n >>> 2);
    i32[word] = i32[word]! | ((code < 0x100 ? code : 0x3f) << ((n & 3) * 8));
  }
}

/** What {@link readText} gives back after `text` was written into so many words. */
export function keptText(words: number, text: string): string {
  const entry = new Int32Array(words);
  writeText(entry, 0, words, text);
  return readText(entry, 0, words);
}

/** What {@link writeText} wrote; a text that did not fit ends in "...". */
export function readText(i32: Int32Array, at: number, words: number): string {
  const length = i32[at]!;
  const kept = Math.max(0, Math.min(length, textBytes(words)));
  let text = "";
  for (let n = 0; n < kept; n++) {
    text += String.fromCharCode((i32[at + 1 + (n >>> 2)]! >>> ((n & 3) * 8)) & 0xff);
  }
  return kept < length ? `${text}...` : text;
}
