interface Issues {
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}

/** What a schema found wrong first, as `member.member: reason`; `whole` names the value where no member of it is at fault. */
export function issueText({ issues: [first] }: Issues, whole: string): string {
  return `${first?.path.join('.') || whole}: ${first?.message}`;
}
