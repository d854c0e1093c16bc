/** The front page's groups, in the order in which a newcomer meets them; topics and commands that exist are listed. */
const journey: [title: string, topics: string[]][] = [
  ['Start', ['demo', 'init', 'up', 'dashboard', 'down', 'status', 'doctor', 'docs']],
  ['Devices', ['device', 'flash', 'monitor', 'firmware', 'serial', 'ota']],
  ['Models', ['data', 'model', 'pipeline']],
  ['Streams', ['stream', 'cheat', 'vision', 'loop']],
  [
    'Operate',
    [
      'deploy',
      'backup',
      'user',
      'token',
      'trust',
      'events',
      'config',
      'context',
      'explain',
      'completion',
      'update',
      'mcp',
    ],
  ],
];

interface Listed {
  id: string;
  summary?: string | undefined;
}
interface Topic {
  name: string;
  description?: string | undefined;
}
export interface Group {
  title: string;
  /** Name and what it does; a topic's second line names its commands. */
  entries: [string, string][];
}

/** Commands by group; what the journey does not name comes last, under `More`. */
export function groups(commands: readonly Listed[], topics: readonly Topic[]): Group[] {
  const first = [...new Set(commands.map(({ id }) => id.split(':')[0] ?? id))];
  const named = new Set(journey.flatMap(([, names]) => names));
  const all: typeof journey = [...journey, ['More', first.filter((name) => !named.has(name)).sort()]];
  // One width for all groups, so that their columns stand below each other.
  const widest = Math.max(...first.map((name) => name.length));
  return all
    .map(([title, names]) => ({
      title,
      entries: names
        .filter((name) => first.includes(name))
        .map((name): [string, string] => [name.padEnd(widest), about(name, commands, topics)]),
    }))
    .filter(({ entries }) => entries.length > 0);
}

function about(name: string, commands: readonly Listed[], topics: readonly Topic[]): string {
  const own = commands.find(({ id }) => id === name);
  if (own) return own.summary ?? '';
  const description = topics.find((topic) => topic.name === name)?.description ?? '';
  const verbs = commands
    .filter(({ id }) => id.startsWith(`${name}:`))
    .map(({ id }) => id.slice(name.length + 1));
  return `${description}\n${verbs.join(' · ').replaceAll(':', ' ')}`;
}
