/** A source text twice, line by line in step with the original: once only its code, once only its comments. */
export interface Blanked {
  /** Comments and the contents of strings are spaces. */
  readonly code: string;
  /** Everything but comments is spaces. */
  readonly comments: string;
}

const LITERAL = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/y;
const REGEX = /\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
/** What stands before a `/` that begins a regular expression and divides nothing. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};>~+-]|\breturn|\btypeof|\bcase)\s*$/;
/** Text of a template up to its end or the next `${`. */
const TEMPLATE_TEXT = /(?:\\[\s\S]|\$(?!\{)|[^`\\$])*/y;

const spaces = (text: string): string => text.replaceAll(/[^\n]/g, " ");
const hollow = (text: string): string => `${text[0]}${spaces(text.slice(1, -1))}${text.at(-1)}`;

/** Takes a text apart. Knows as much of the language as that needs: strings, templates, regular expressions. */
class Blanker {
  private readonly text: string;
  private at = 0;
  private code = "";
  private comments = "";
  /** Open braces inside each template expression that we are in. */
  private readonly templateDepths: number[] = [];

  constructor(text: string) {
    this.text = text;
  }

  run(): Blanked {
    while (this.at < this.text.length) this.step();
    return { code: this.code, comments: this.comments };
  }

  private step(): void {
    const literal = this.match(LITERAL);
    if (literal !== null) {
      const isComment = literal.startsWith("/");
      this.emit(literal, isComment ? spaces(literal) : hollow(literal), isComment);
      return;
    }
    const char = this.text[this.at]!;
    if (char === "/" && BEFORE_REGEX.test(this.code.slice(-40))) {
      const regex = this.match(REGEX);
      if (regex !== null) return this.emit(regex, `"${spaces(regex.slice(1, -1))}"`);
    }
    if (char === "`") return this.template(1);
    if (this.templateDepths.length > 0) this.countBrace(char);
    else this.emit(char, char);
  }

  private countBrace(char: string): void {
    const top = this.templateDepths.length - 1;
    if (char === "}" && this.templateDepths[top] === 0) {
      this.templateDepths.pop();
      return this.template(1);
    }
    if (char === "{") this.templateDepths[top]!++;
    if (char === "}") this.templateDepths[top]!--;
    this.emit(char, char);
  }

  /** From the opening character over the text that follows it, to the closing one or into an expression. */
  private template(openChars: number): void {
    const open = this.text.slice(this.at, this.at + openChars);
    this.emit(open, open);
    const body = this.match(TEMPLATE_TEXT) ?? "";
    this.emit(body, spaces(body));
    const end = this.text.startsWith("${", this.at) ? "${" : this.text.slice(this.at, this.at + 1);
    if (end === "${") this.templateDepths.push(0);
    this.emit(end, end);
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text)?.[0] ?? null;
  }

  private emit(source: string, code: string, isComment = false): void {
    this.code += code;
    this.comments += isComment ? source : spaces(source);
    this.at += source.length;
  }
}

export function blank(text: string): Blanked {
  return new Blanker(text).run();
}
