/**
 * Words and phrases that the project's prose avoids, each with a replacement. Read by scripts/prose.js. `in` limits a rule to some kinds
 * of text; without it the rule applies everywhere.
 * @type {readonly { pattern: RegExp, instead: string, in?: readonly ('docs' | 'command' | 'error' | 'comment')[] }[]}
 */
export const avoided = [
  // Free relatives instead of a noun.
  {
    pattern: /^(?:What|Whatever)\b(?![^?]*\?)/,
    instead: 'a noun: "undelivered messages", not "What is not delivered"',
  },
  { pattern: /^(?:Who|Whom|Whoever|Whose)\b(?![^?]*\?)/, instead: '"a device that …", "anyone who …"' },
  {
    pattern:
      /\b(?:for|of|to|from|by|with|and|or) who\b(?! (?:is|was|may|can|has|did|does|signed|made|sent|started)\b[^.]*\?)/i,
    instead: '"anyone who …", or the noun',
  },
  {
    pattern: /\b(?:keeps|loses|sends|stores|refuses|takes|reports|prints|shows|counts|deletes) what\b/i,
    instead: 'a noun after the verb',
  },
  { pattern: /\bwhat (?:it|they) (?:is|are|was|were|has|have) (?:not )?\w+ed\b/i, instead: 'a noun' },
  // Verbs and word order that read like a translation.
  { pattern: /\b(?:is|are|was|were|be) told\b/i, instead: '"is reported", "is printed"' },
  { pattern: /\btells? (?:of|about)\b/i, instead: '"reports", "describes"' },
  {
    pattern: /\b(?:says|tells) (?:so|which|what|where|when|whether|how|why)\b/i,
    instead: '"prints", "reports", "shows", "describes"',
  },
  { pattern: /\bstands? in (?:the|a|an|its|docs|`)/i, instead: '"is in"' },
  { pattern: /\blies? (?:in|under|below|beside|at)\b/i, instead: '"is stored in", "is below"' },
  { pattern: /\bby (?:itself|themselves)\b/i, instead: '"automatically"', in: ['docs', 'command', 'error'] },
  {
    pattern: /\b(?:goes|go|went) (?:by|its way|into|back by)\b/i,
    instead: 'the verb for the action: "is sent", "is written to"',
  },
  { pattern: /\bbecause of which\b|\bout of which\b|\bof which each\b/i, instead: 'two sentences' },
  {
    pattern: /\b(?:now and then|once more|as good as|all the same|as before|in a moment)\b/i,
    instead: 'the exact term: "periodically", "again", "nearly", "unchanged"',
    in: ['docs', 'command', 'error'],
  },
  { pattern: /\b(?:heed(?:s|ed)?|hence|thereby|therein|whereby|thus)\b/i, instead: 'a plain word' },
  { pattern: /\bmay not be (?:had|got)\b|\bto be had\b|\bcan be had\b/i, instead: '"is available"' },
  { pattern: /\b(?:is|are|was) (?:of|without) (?:no )?use\b/i, instead: '"has no effect", "is unused"' },
  {
    pattern: /\bin (?:all|any) (?:that|what)\b|\ball (?:that|what) (?:is|it|a|the)\b/i,
    instead: '"everything …", or the noun',
  },
  // House words where the field has a term.
  { pattern: /\bfar sides?\b/i, instead: '"peer" or "destination"' },
  { pattern: /\bmade[- ]up\b/i, instead: '"simulated"' },
  { pattern: /\bmend(?:s|ed|ing)?\b/i, instead: '"fix"' },
  { pattern: /\bborne\b/i, instead: '"accepted"' },
  { pattern: /\b(?:by chance|drawn by lot)\b/i, instead: '"at random"' },
  { pattern: /\b(?:somebody|nobody|whom)\b/i, instead: 'the role: "an operator", "no client"' },
  { pattern: /\bpapers\b/i, instead: '"certificate"' },
  { pattern: /\bjudges?\b/i, instead: '"verifies", "checks"', in: ['docs', 'command', 'error'] },
  {
    pattern: /\bburden\b(?! resistor|-resistor)/i,
    instead: '"load", or "burden resistor"',
    in: ['docs', 'command', 'error'],
  },
  { pattern: /\bcarr(?:y|ies) (?:it|them) out\b/i, instead: '"apply", "run"' },
  { pattern: /\blet(?:s)? in\b/i, instead: '"authenticated", "allowed"' },
  {
    pattern: /\btaken? over from\b|\bhang(?:s)? up\b/i,
    instead: '"moves from", "disconnects"',
    in: ['docs', 'command', 'error'],
  },
  { pattern: /\bwithout (?:a|any) doubt\b|\bof course\b|\bin fact\b/i, instead: 'nothing' },
];

/** Maximum number of words in a sentence. Longer ones should be split. */
export const mostWords = 30;

/** A sentence with this many passives is reported. */
export const passiveChain = 4;
