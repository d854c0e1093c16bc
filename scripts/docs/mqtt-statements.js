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
 * docs/reference/mqtt-statements.md: the normative statements of MQTT 3.1.1 and 5, and their checks.
 * @param {readonly { v4?: string, v5?: string, says: string, untested?: string }[]} statements
 * @returns {string} Markdown
 */
export function mqttStatementsPage(statements) {
  const count = (/** @type {'v4' | 'v5'} */ version) =>
    statements.flatMap(({ [version]: numbers }) => numbers?.split(' ') ?? []).length;
  const rows = statements.map(({ v4, v5, says, untested }) => {
    const checked =
      untested === undefined
        ? 'yes'
        : untested.startsWith('test/')
          ? `in \`${untested}\``
          : reasons[/** @type {keyof typeof reasons} */ (untested)];
    return `| ${cell(v4)} | ${cell(v5)} | ${says.replaceAll('|', '\\|')} | ${checked} |`;
  });
  return `# MQTT conformance statements

<!-- Written by npm run docs from test/platform/mqtt-statements. -->

MQTT 3.1.1 has ${count('v4')} normative statements and MQTT 5 has ${count('v5')}. This page paraphrases each statement. The first two columns show its numbers:
\`3.1.0-1\` stands for [MQTT-3.1.0-1]. \`test/platform/mqtt-conformance.test.ts\` tests the
[embedded broker](mqtt-broker.md) against each statement that a broker can violate.

| MQTT 3.1.1 | MQTT 5 | statement | checked |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
