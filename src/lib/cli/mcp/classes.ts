/**
 * What an agent may do with a command. `read`: looks at this machine's files and the platform in use, and changes nothing. `never`: asks, has no
 * end, or prints a secret. All others are `write`: they change something, reach an address that the arguments name, touch a board, or
 * start programs, and want an approval.
 */
export type ToolClass = 'read' | 'write' | 'never';

const read = `
cheat, config explain, context list, data check, data drift, data features, data list, data schema, data show, data stats, data streams,
deploy check, device config list, device config show, device history, device list, device messages, device ports, device show, docs, doctor,
explain, firmware burden, firmware image info, firmware inspect, firmware list, firmware nvs read, firmware otadata read,
firmware partitions read, firmware show, job list, job show, job wait, loop status, model compare, model evaluate, model explain, model fit,
model inspect, model list, model show, model verify, model why, ota list, ota plan, ota rehearse, ota report, ota status, ota watch,
pipeline graph, pipeline history, pipeline status, status, stream route list, token list, trust status, user list, webhook list, webhook show
`;

const never = `
completion, dashboard, device claim, device secret, device simulate, events tail, logs, loop run, mcp, mcp approve, monitor,
pipeline watch, serial serve, stream bridge, stream login, stream route run, stream tail, token create, token rotate, trust init,
trust rotate, up, user add, webhook add, webhook rotate
`;

const write = `
backup create, backup restore, context add, context remove, context use, data export, data extract, data import, data label, data record,
data remove, data retention, demo, deploy apply, deploy diff, deploy render, deploy status, device activate, device command,
device config deploy, device config push, device conform, device group, device labels, device provision, device remove, device replace,
device resume, device revoke, device rotate, device suspend, device tag, device verify, down, firmware build, firmware deploy,
firmware image create, firmware image patch, firmware init, firmware merge, firmware nvs create, firmware otadata create,
firmware partitions create, firmware pull, firmware push, firmware test, flash, flash erase, flash info, flash read, flash verify, init,
job cancel, job start, loop check, loop install, model deploy, model import, model promote, model pull, model push, model quantize,
model remove, model sign, model train, ota abort, ota approve, ota pause, ota resume, ota retry, ota rollback, ota start, pipeline cancel,
pipeline render, pipeline resume, pipeline run, platform acknowledge, platform install, platform pki, platform uninstall, platform verify, stream bench, stream check,
stream create, stream lag, stream logout, stream ls, stream pub, stream record, stream replay, stream route import, stream route test,
token revoke, trust revoke, trust sign, update, user disable, user enable, user remove, vision faces, webhook enable, webhook remove,
webhook test
`;

const classes = new Map<string, ToolClass>(
  Object.entries({ read, never, write }).flatMap(([kind, text]) =>
    text
      .trim()
      .split(/,\s+/)
      .map((id): [string, ToolClass] => [id, kind as ToolClass]),
  ),
);

/** All commands that are classified. */
export const classified: readonly string[] = [...classes.keys()];

/** The class of a command, by its words. What nobody has judged is never called. */
export function classOf(id: string): ToolClass {
  return classes.get(id) ?? 'never';
}

/** Flags of reading commands that write a file, show it, or print a secret: an agent does not have them. */
export const withheld: ReadonlySet<string> = new Set([
  'integers',
  'junit',
  'open',
  'out',
  'outputs',
  'report',
  'save',
  'show-secrets',
]);
