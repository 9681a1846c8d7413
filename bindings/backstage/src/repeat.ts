/** Something that goes on until it is stopped. */
export interface Repetition {
  stop(): void;
}

/**
 * Does something again and again, one time after the other, with so many milliseconds between.
 *
 * A timer, since each process must look for itself: tasks of the scheduler run in one process
 * of many, and those that it keeps local are timers, too. It does not keep the process alive.
 */
export function repeat(
  wait: () => number,
  work: () => Promise<void>,
): Repetition {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const again = () => {
    if (stopped) return;
    timer = setTimeout(() => void work().finally(again), wait());
    timer.unref();
  };
  again();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
