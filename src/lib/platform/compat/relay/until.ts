/** Gives it so long, ms, and no longer: a far side may never answer. */
export async function atMost(ms: number, task: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([task?.catch(() => {}), over]);
  clearTimeout(timer);
}
