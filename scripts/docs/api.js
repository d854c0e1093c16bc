/**
 * docs/reference/api.md: every endpoint of the contract, by noun.
 * @param {Record<string, Record<string, import('../../src/lib/api/contract/endpoint.js').Endpoint>>} contract
 * @param {(endpoint: object, method: string) => string} accessOf
 * @returns {string}
 */
export function apiPage(contract, accessOf) {
  const sections = Object.entries(contract).map(([noun, endpoints]) => {
    const rows = Object.values(endpoints).map((endpoint) => rowOf(endpoint, accessOf));
    return [
      `## ${titles[noun] ?? noun.charAt(0).toUpperCase() + noun.slice(1)}`,
      '',
      '| Endpoint | Description | Access | Errors |',
      '| --- | --- | --- | --- |',
      ...rows,
    ].join('\n');
  });
  return `${intro}\n\n${sections.join('\n\n')}\n`;
}

/** Titles of sections whose noun in the contract is unsuitable as a title. */
const titles = {
  births: 'Birth certificates',
  configs: 'Configurations',
  enrolment: 'Enrollment',
  secrets: 'Device secrets',
  talk: 'Messages and commands',
};

const intro = `<!-- Made by npm run docs; do not edit. -->

# API

This page lists the platform's endpoints under \`/api/v1\`. A running platform serves their parameters, request bodies and responses as
OpenAPI 3.1 at \`/openapi.json\`. Programs send a token as \`Authorization: Bearer …\`; devices present their certificate.

- **Access**: the minimum role (\`viewer\`, \`ci\`, \`operator\`); \`devices\` (a device, or a viewer for reading and an operator for
  changes); or \`everybody\`. You can restrict tokens with [scopes](../how-to/users-and-tokens.md#restrict-a-token-with-scopes).
- **Errors** are problems (RFC 9457) with a \`code\` from the [catalogue](errors.md). The last column lists the endpoint's own errors.
  Every endpoint also rejects requests that are invalid, too large, too frequent or not allowed.
- **Lists** are paged: pass a page's \`next\` as \`after\` to get the following page.
- **Idempotency**: a POST, PATCH or DELETE with an \`Idempotency-Key\` is applied only once, even if it is sent again.`;

function rowOf(endpoint, accessOf) {
  const [method = '', path = ''] = endpoint.route.split(' ');
  const errors = (endpoint.errors ?? []).map((code) => `[${code}](errors.md#${code.toLowerCase()})`);
  const shown = `\`${method} ${path.replace(/:(\w+)/g, '{$1}')}\``;
  return `| ${shown} | ${endpoint.summary} | ${accessOf(endpoint, method)} | ${errors.join(', ')} |`;
}
