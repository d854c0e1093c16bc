/** One command of a shell line: its parts and position. */
export interface ShellCommand {
  /** The command's words, without preceding assignments, redirections and the trailing comment. */
  words: string[];
  line: number;
}

/** A line as typed, with its continuations joined and its trailing comment separate. */
export interface ShellLine {
  text: string;
  comment: string;
  line: number;
}

/** A word, or a character that ends a command. */
type Token = { word: string } | { end: string };

/** Returns the lines of a block. A line that ends with a backslash or within quotes is continued. */
export function shellLines(block: string, first: number): ShellLine[] {
  const lines: ShellLine[] = [];
  let text = '';
  let start = first;
  for (const [i, line] of block.split('\n').entries()) {
    if (text === '') start = first + i;
    text += line;
    if (/(?:^|[^\\])\\$/.test(text)) {
      text = text.slice(0, -1);
      continue;
    }
    const split = comment(text);
    if (split === undefined) {
      text += '\n';
      continue;
    }
    if (split[0].trim() !== '') lines.push({ text: split[0].trim(), comment: split[1], line: start });
    text = '';
  }
  if (text.trim() !== '') lines.push({ text: text.trim(), comment: '', line: start });
  return lines;
}

/** Returns the text before a comment, and the comment; undefined if a quote is still open. */
function comment(text: string): [string, string] | undefined {
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== '') {
      if (char === '\\' && quote === '"') i++;
      else if (char === quote) quote = '';
    } else if (char === '\\') i++;
    else if (char === "'" || char === '"') quote = char;
    else if (char === '#' && (i === 0 || /\s/.test(text[i - 1]!)))
      return [text.slice(0, i), text.slice(i + 1).trim()];
  }
  return quote === '' ? [text, ''] : undefined;
}

/**
 * Returns the commands in a line, including those in pipes, lists and subshells. `…` ("and so on") is a word.
 */
export function shellCommands({ text, line }: ShellLine): ShellCommand[] {
  const commands: ShellCommand[] = [];
  let words: string[] = [];
  let redirected = false;
  const end = () => {
    const program = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
    if (program >= 0) commands.push({ words: words.slice(program), line });
    words = [];
  };
  for (const token of tokens(text)) {
    if ('word' in token) {
      if (!redirected) words.push(token.word);
      redirected = false;
    } else if (/[<>]/.test(token.end)) redirected = true;
    else end();
  }
  end();
  return commands;
}

function tokens(text: string): Token[] {
  const pattern =
    /\s+|(\d?(?:>>|>|<)&?\d?)|(&&|\|\||[;|&()])|((?:\$\((?:[^()]|\([^()]*\))*\)|\$\{[^}]*\}|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\\[\s\S]|[^\s<>;|&()'"\\])+)/gy;
  const found: Token[] = [];
  for (const [, redirect, operator, word] of text.matchAll(pattern)) {
    if (redirect !== undefined) {
      if (!/&\d$/.test(redirect)) found.push({ end: redirect });
    } else if (operator !== undefined) found.push({ end: operator });
    else if (word !== undefined) found.push({ word: unquoted(word) });
  }
  return found;
}

/** The word as the shell passes it on, except that variables are not expanded. */
function unquoted(word: string): string {
  return word.replace(
    /'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"|\\([\s\S])/g,
    (_, single?: string, double?: string, escaped?: string) =>
      single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? '',
  );
}
