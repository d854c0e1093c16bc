import { AiotError } from '../core/errors.js';

/** An element's text, without its children's text, and its child elements in order. Attributes are ignored. */
export interface XmlElement {
  name: string;
  text: string;
  children: XmlElement[];
}

/** Maximum depth of elements. Files with deeper nesting are not annotations, and could exhaust the stack of a recursive reader. */
const mostDepth = 64;

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', apos: "'", quot: '"' };

/**
 * Reads the elements and texts of an XML 1.0 document in UTF-8. Comments and processing instructions are skipped. Document types are
 * rejected, so a document cannot declare entities or refer to anything outside the file.
 * @param file name of the file in errors
 * @throws AIOT_FILE_MALFORMED with the line
 */
export function readXml(text: string, file: string): XmlElement {
  return new XmlReader(text.replace(/^\uFEFF/, ''), file).document();
}

class XmlReader {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly file: string,
  ) {}

  document(): XmlElement {
    const root: XmlElement = { name: '', text: '', children: [] };
    const open = [root];
    while (this.at < this.text.length) {
      const parent = open.at(-1)!;
      const next = this.text.indexOf('<', this.at);
      const end = next < 0 ? this.text.length : next;
      if (end > this.at) this.addText(parent, this.text.slice(this.at, end), open.length === 1);
      this.at = end;
      if (next >= 0) this.markup(open);
    }
    if (open.length > 1) throw this.malformed(`<${open.at(-1)!.name}> is not closed`);
    const [only] = root.children;
    if (!only) throw this.malformed('expected an element');
    return only;
  }

  private addText(parent: XmlElement, raw: string, outside: boolean): void {
    if (outside && raw.trim() !== '') throw this.malformed('expected an element, got text');
    parent.text += raw.replace(/&([^;&]*);?/g, (whole, name: string) => this.entity(whole, name));
  }

  private entity(whole: string, name: string): string {
    const known = Object.hasOwn(entities, name) ? entities[name] : undefined;
    const number = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const code = number ? Number.parseInt(number[1] ?? number[2]!, number[1] ? 16 : 10) : 0;
    const value = known ?? (code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined);
    if (value === undefined || !whole.endsWith(';')) throw this.malformed(`unknown entity ${whole}`);
    return value;
  }

  /** Reads one tag, comment, section or instruction, which begins at the current position. */
  private markup(open: XmlElement[]): void {
    if (this.text.startsWith('<!--', this.at)) return void this.until('-->', 'comment');
    if (this.text.startsWith('<?', this.at)) return void this.until('?>', 'instruction');
    if (this.text.startsWith('<![CDATA[', this.at)) {
      if (open.length === 1) throw this.malformed('expected an element, got text');
      open.at(-1)!.text += this.until(']]>', 'section').slice('<![CDATA['.length);
      return;
    }
    if (this.text.startsWith('<!', this.at)) throw this.malformed('document types are not supported');
    const tag = this.tag();
    if (tag.startsWith('</')) this.close(open, tag.slice(2).trim());
    else this.open(open, tag);
  }

  private open(open: XmlElement[], tag: string): void {
    const empty = tag.endsWith('/');
    const [, name] =
      /^<([\p{L}_:][\p{L}\p{N}_:.-]*)(?:|\s[^<]*)$/u.exec(empty ? tag.slice(0, -1) : tag) ?? [];
    if (name === undefined) throw this.malformed(`expected a tag, got ${tag.slice(0, 40)}>`);
    if (open.length === 1 && open[0]!.children.length > 0) throw this.malformed('expected a single element');
    if (open.length > mostDepth) throw this.malformed(`elements are nested deeper than ${mostDepth}`);
    const element: XmlElement = { name, text: '', children: [] };
    open.at(-1)!.children.push(element);
    if (!empty) open.push(element);
  }

  private close(open: XmlElement[], name: string): void {
    const last = open.length > 1 ? open.pop() : undefined;
    if (last?.name === name) return;
    throw this.malformed(`expected ${last ? `</${last.name}>` : 'an element'}, got </${name}>`);
  }

  /** A tag without its closing `>`. A > in an attribute's value does not end the tag. */
  private tag(): string {
    let quote = '';
    for (let i = this.at; i < this.text.length; i++) {
      const character = this.text[i]!;
      if (quote === '' && character === '>') {
        const own = this.text.slice(this.at, i);
        this.at = i + 1;
        return own;
      }
      if (quote === character) quote = '';
      else if (quote === '' && (character === '"' || character === "'")) quote = character;
    }
    throw this.malformed('a tag is not closed');
  }

  /** Returns the text before the next `end`, and moves past that `end`. */
  private until(end: string, what: string): string {
    const found = this.text.indexOf(end, this.at);
    if (found < 0) throw this.malformed(`a ${what} is not closed`);
    const own = this.text.slice(this.at, found);
    this.at = found + end.length;
    return own;
  }

  private malformed(reason: string): AiotError {
    const line = this.text.slice(0, this.at).split('\n').length;
    return new AiotError('AIOT_FILE_MALFORMED', `${this.file}: line ${line}: ${reason}`);
  }
}
