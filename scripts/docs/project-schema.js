/**
 * The schema of aiot.yaml for editors; each field has its description from docs/reference/project.md.
 * @param {object} input
 * @param {any} input.schema JSON Schema draft 7
 * @param {string} input.page docs/reference/project.md
 * @returns {string} JSON
 */
export function projectSchemaText({ schema, page }) {
  for (const [, path, standard, about] of page.matchAll(/^\| `([a-zA-Z0-9.*]+)` \| (.*?) ?\| (.+) \|$/gm)) {
    const field = at(schema, path.split('.'));
    if (!field) throw new Error(`docs/reference/project.md: aiot.yaml has no field ${path}`);
    field.description = plain(standard === 'required' ? `${about} (required)` : about);
  }
  const { $schema, ...rest } = schema;
  const titled = { $schema, title: 'aiot.yaml', description: 'A project of aiot.', ...rest };
  return `${JSON.stringify(titled, null, 2)}\n`;
}

/** The part of a schema at a path as written in docs/reference/project.md; `*` is any name. Of several options, the object counts. */
function at(schema, path) {
  let part = schema;
  for (const name of path) {
    const { properties } = part?.anyOf?.find((option) => option.properties) ?? part ?? {};
    part = name === '*' ? part?.additionalProperties : properties?.[name];
  }
  return part;
}

/** Removes links, which do not work in an editor, and backticks. */
const plain = (text) => text.replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1').replaceAll('`', '');
