import { plural, size } from '../../core/index.js';
import type { ImportedRoutes, Installed, ListedRoutes, RoutesEnd, TestedRoutes } from '../../stream/index.js';
import { stateText } from '../../stream/index.js';
import { bold, dim, green, red, yellow } from './style.js';
import { table } from './text.js';

/** What routes have done, one a line. */
export function routesEndText({ routes }: RoutesEnd): string {
  return routes.map((route) => `${bold(route.name)}  ${stateText(route)}`).join('\n');
}

export function testedRoutesText({ cases, passed, failed, untested }: TestedRoutes): string {
  const lines = cases.map(({ route, name, passed: good, why }) => {
    const mark = good ? green('✓') : red('✗');
    return `${mark} ${route}: ${name}${why === undefined ? '' : `\n    ${why}`}`;
  });
  const bare = untested.length > 0 ? [yellow(`without a case: ${untested.join(', ')}`)] : [];
  return [...lines, ...bare, bold(`${plural(passed, 'case')} passed, ${failed} failed`)].join('\n');
}

export function listedRoutesText({ routes }: ListedRoutes): string {
  return table(
    ['ROUTE', 'FROM', 'TO', 'DOES', 'ON ERROR', 'CASES', 'SPOOL'],
    routes.map(({ name, from, to, does, onError, tests, spools }) => [
      name,
      from.join(' '),
      to.join(' '),
      does.join(' ') || null,
      onError,
      tests,
      spools.map(spoolText).join(' ') || null,
    ]),
  );
}

function spoolText({
  messages,
  bytes,
  limit,
  damaged,
}: ListedRoutes['routes'][number]['spools'][number]): string {
  const bad = damaged > 0 ? `, ${plural(damaged, 'damaged file')}` : '';
  return messages === 0
    ? `empty${bad}`
    : `${plural(messages, 'message')}, ${size(bytes)} of ${size(limit)}${bad}`;
}

export function importedRoutesText({ routes, leftOut, notes, yaml, out }: ImportedRoutes): string {
  const made = routes.map(({ name, from, to }) => `${green('✓')} ${bold(name)}  ${from} → ${to}`);
  const left = leftOut.map(({ node, reason }) => `${yellow('–')} ${node}: ${reason}`);
  return [...(out === undefined ? [yaml.trimEnd(), ''] : []), ...made, ...left, ...notes.map(dim)].join('\n');
}

export function installedText({ file, written, unit }: Installed): string {
  return `${unit}\n${written ? green(`written to ${file}`) : dim(`would be written to ${file}`)}`;
}
