import { useApi } from '@backstage/frontend-plugin-api';
import { useEffect, useState } from 'react';

import type { Grid } from './answers.js';
import { stagedoorApiRef } from './api.js';
import { matrixOf } from './matrix.js';
import type { Matrix } from './matrix.js';

/** So many groups are read first, so that something is there soon; then more at a time. */
const FIRST = 30;
const THEN = 200;

/** How far the grid was read. */
export interface MatrixState {
  matrix: Matrix | undefined;
  isComplete: boolean;
  error: Error | undefined;
}

/** Reads the grid, part by part. */
export function useMatrix(isWanted: boolean): MatrixState {
  const api = useApi(stagedoorApiRef);
  const [state, setState] = useState<MatrixState>({
    matrix: undefined,
    isComplete: false,
    error: undefined,
  });
  useEffect(() => {
    if (!isWanted) return undefined;
    let isCurrent = true;
    const read = async () => {
      const parts: Grid[] = [];
      let next: number | null = 0;
      while (next !== null && isCurrent) {
        const limit: number = parts.length ? THEN : FIRST;
        const part: Grid = await api.grid({ offset: next, limit });
        parts.push(part);
        next = part.next;
        const matrix = matrixOf(parts);
        if (isCurrent) {
          setState({ matrix, isComplete: next === null, error: undefined });
        }
      }
    };
    read().catch((error: unknown) => {
      if (!isCurrent) return;
      const failure = error instanceof Error ? error : new Error(String(error));
      setState(before => ({ ...before, error: failure }));
    });
    return () => {
      isCurrent = false;
    };
  }, [api, isWanted]);
  return state;
}
