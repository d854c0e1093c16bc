import { xmlText } from '../core/text.js';

/** Something that was checked. */
export interface JunitCase {
  /** The group it belongs to: a route, a section, a file. */
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
    `<testsuites name="${xmlText(name)}" ${counts}>`,
    `  <testsuite name="${xmlText(name)}" ${counts}>`,
    ...cases.map(caseXml),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function caseXml({ className, name, failure, skipped }: JunitCase): string {
  const open = `    <testcase classname="${xmlText(className)}" name="${xmlText(name)}" time="0"`;
  if (failure !== undefined) {
    const [first = ''] = failure.split('\n');
    return `${open}><failure type="failure" message="${xmlText(first)}">${xmlText(failure)}</failure></testcase>`;
  }
  return skipped === undefined ? `${open}/>` : `${open}><skipped message="${xmlText(skipped)}"/></testcase>`;
}
