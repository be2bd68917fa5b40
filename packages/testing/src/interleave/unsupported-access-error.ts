/** Code under exploration did what the explorer does not model. Not a failure of that code: the exploration ends. */
export class UnsupportedAccessError extends Error {
  override readonly name: string = "UnsupportedAccessError";
}
