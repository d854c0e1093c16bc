/** Something that was checked. */
export interface JunitCase {
  /** What it belongs to: a route, a section, a file. */
  className: string;
  name: string;
  /** Why it failed; absent = it passed. */
  failure?: string | undefined;
  /** Why it was not looked at. */
  skipped?: string | undefined;
}

/**
 * A report that CI systems show: JUnit's XML, as Ant, Maven's Surefire, Jenkins and GitLab have it in common. There is no standard; each of
 * the attributes is one that one of them asks for.
 * @param seconds that all of it took
 */
export function junitXml(name: string, cases: readonly JunitCase[], seconds: number): string {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const skipped = cases.filter(({ skipped }) => skipped !== undefined).length;
  const time = seconds.toFixed(3);
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${time}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${escaped(name)}" ${counts}>`,
    `  <testsuite name="${escaped(name)}" ${counts}>`,
    ...cases.map(caseXml),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function caseXml({ className, name, failure, skipped }: JunitCase): string {
  const open = `    <testcase classname="${escaped(className)}" name="${escaped(name)}" time="0"`;
  if (failure !== undefined) {
    const [first = ''] = failure.split('\n');
    return `${open}><failure type="failure" message="${escaped(first)}">${escaped(failure)}</failure></testcase>`;
  }
  return skipped === undefined ? `${open}/>` : `${open}><skipped message="${escaped(skipped)}"/></testcase>`;
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
  '\r': '&#13;',
  '\t': '&#9;',
};

/** XML 1.0, section 2.2: most control characters and lone surrogates cannot be in a document at all. */
function escaped(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll(/[&<>"\n\r\t]/g, (letter) => entities[letter] ?? letter);
}
