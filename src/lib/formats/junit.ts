import { xmlText } from '../core/text.js';

/** Result of one check. */
export interface JunitCase {
  /** The check's group: a route, a section, a file. */
  className: string;
  name: string;
  /** Why the check failed; absent = it did not fail. */
  failure?: string | undefined;
  /** Why the check was skipped. */
  skipped?: string | undefined;
}

/**
 * A report for CI systems: the subset of JUnit XML that Ant, Maven Surefire, Jenkins and GitLab share. There is no standard, but each
 * attribute here is required by one of these tools.
 * @param seconds total duration
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
