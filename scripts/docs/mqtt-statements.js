/** Reasons why a statement is not checked, as shown on the page. */
const reasons = {
  client: 'applies to clients',
  supported: 'not applicable: the feature is supported',
  absent: 'not applicable: the feature is not supported',
  format: 'cannot be violated on the wire',
};

/** @param {string | undefined} numbers */
const cell = (numbers) => numbers?.split(' ').join(', ') ?? '';

/**
 * docs/reference/mqtt-statements.md: how many normative statements MQTT 3.1.1 and 5 have, and those that the conformance test does not check.
 * @param {readonly { v4?: string, v5?: string, says: string, untested?: string }[]} statements
 * @returns {string} Markdown
 */
export function mqttStatementsPage(statements) {
  const count = (/** @type {'v4' | 'v5'} */ version, /** @type {typeof statements} */ of) =>
    of.flatMap(({ [version]: numbers }) => numbers?.split(' ') ?? []).length;
  const checked = statements.filter(({ untested }) => untested === undefined);
  const rows = statements.flatMap(({ v4, v5, says, untested }) => {
    if (untested === undefined) return [];
    const reason = untested.startsWith('test/')
      ? `checked in \`${untested}\``
      : reasons[/** @type {keyof typeof reasons} */ (untested)];
    return [`| ${cell(v4)} | ${cell(v5)} | ${says.replaceAll('|', '\\|')} | ${reason} |`];
  });
  return `# MQTT conformance statements

<!-- Written by npm run docs from test/platform/mqtt-statements. -->

This page lists how many normative statements of the MQTT specifications the conformance test of the [embedded broker](mqtt-broker.md) checks, and which it does not. The test is \`test/platform/mqtt-conformance.test.ts\`.

| version | statements | checked by this test |
| --- | ---: | ---: |
| MQTT 3.1.1 | ${count('v4', statements)} | ${count('v4', checked)} |
| MQTT 5 | ${count('v5', statements)} | ${count('v5', checked)} |

\`test/platform/mqtt-statements\` contains a paraphrase and a check of each statement; search for its number, such as \`3.1.0-1\` for [MQTT-3.1.0-1].
The test does not check these statements:

| MQTT 3.1.1 | MQTT 5 | statement | reason |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
