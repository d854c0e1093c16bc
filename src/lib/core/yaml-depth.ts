/** Levels of nesting that no file of ours comes near, and that a parser which calls itself for each one bears. */
export const deepestYaml = 200;

/**
 * Where a text of YAML is nested deeper than `deepestYaml`: its parser takes a part of the stack for each level, and what has no stack left
 * ends a process. Counted without parsing: brackets, indicators one behind the other on a line, and lines further in than those before.
 * What stands in quotes or in a block of text counts as well, so that the limit is far from what people write.
 * @returns the line, from 1
 */
export function tooDeepYaml(text: string): number | null {
  const above: { indent: number; levels: number }[] = [];
  let levels = 0;
  let brackets = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.trimStart();
    const indent = line.length - content.length;
    if (content !== '' && !content.startsWith('#')) {
      while (above.length > 0 && above.at(-1)!.indent >= indent) levels -= above.pop()!.levels;
      const counted = countLine(content, brackets);
      if (levels + counted.deepest > deepestYaml) return index + 1;
      brackets = counted.brackets;
      above.push({ indent, levels: counted.chain });
      levels += counted.chain;
    }
  }
  return null;
}

function countLine(line: string, open: number): { deepest: number; brackets: number; chain: number } {
  let [brackets, chain, longest, deepest] = [open, 0, 0, open];
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    const isLast =
      at + 1 === line.length || line[at + 1] === ' ' || line[at + 1] === '\t' || line[at + 1] === '\r';
    if (char === '[' || char === '{') brackets++;
    else if (char === ']' || char === '}') brackets = Math.max(0, brackets - 1);
    else if ((char === ':' || char === '-' || char === '?') && isLast) chain++;
    // One after the other, not one in the other.
    if (',[]{}"\''.includes(char)) chain = 0;
    longest = Math.max(longest, chain);
    deepest = Math.max(deepest, brackets + chain);
  }
  return { deepest, brackets, chain: longest };
}
