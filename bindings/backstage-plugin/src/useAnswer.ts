import { useEffect, useRef, useState } from 'react';

/** How a question stands. */
export type QuestionState<Answer> =
  | { state: 'idle' }
  | { state: 'pending' }
  | { state: 'failed'; error: Error }
  | { state: 'answered'; answer: Answer };

/**
 * Asks whenever the key changes; nothing is asked without one. An answer that comes after another
 * question was asked is dropped.
 */
export function useAnswer<Answer>(
  key: string | undefined,
  ask: () => Promise<Answer>,
): QuestionState<Answer> {
  const [asked, setAsked] = useState<{
    key?: string;
    of: QuestionState<Answer>;
  }>({
    of: { state: 'idle' },
  });
  const latest = useRef(ask);
  useEffect(() => {
    latest.current = ask;
  });
  useEffect(() => {
    if (key === undefined) return undefined;
    let isCurrent = true;
    const set = (of: QuestionState<Answer>) => {
      if (isCurrent) setAsked({ key, of });
    };
    latest.current().then(
      answer => set({ state: 'answered', answer }),
      (error: unknown) =>
        set({
          state: 'failed',
          error: error instanceof Error ? error : new Error(String(error)),
        }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key]);
  if (key === undefined) return { state: 'idle' };
  return asked.key === key ? asked.of : { state: 'pending' };
}
