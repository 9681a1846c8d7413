'use strict';
(() => {
  const cells = JSON.parse(document.getElementById('data').textContent).cells;
  const dialog = document.getElementById('cell');
  const words = { allow: ['a', 'Allowed'], conditional: ['c', 'Conditional'], deny: ['d', 'Denied'] };

  const element = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };

  // As the page's anchors are made: ids may be any text.
  const anchor = id =>
    'policy-' +
    Array.from(new TextEncoder().encode(id), byte => {
      const plain = (byte > 47 && byte < 58) || (byte > 64 && byte < 91) || (byte > 96 && byte < 123);
      return plain || byte === 45
        ? String.fromCharCode(byte)
        : '_' + byte.toString(16).padStart(2, '0');
    }).join('');

  const open = button => {
    const cell = cells[Number(button.dataset.cell)];
    const table = button.closest('table');
    const column = button.closest('td').cellIndex;
    const who = button.closest('tr').cells[0].dataset.who;
    const what = table.querySelector('.names').cells[column].textContent;
    const [className, word] = words[cell.verdict];
    const verdict = dialog.querySelector('.verdict');
    verdict.className = 'verdict ' + className;
    verdict.textContent = word;
    document.getElementById('cell-title').textContent = `${who} — ${what}`;
    const body = dialog.querySelector('.body');
    body.replaceChildren();
    for (const detail of cell.details) body.append(element('pre', detail));
    if (cell.policies.length === 0) {
      body.append(element('p', 'No policy is behind it: what no policy permits is denied.'));
      dialog.showModal();
      return;
    }
    body.append(element('h3', cell.policies.length === 1 ? 'Policy' : 'Policies'));
    for (const id of cell.policies) {
      const policy = document.getElementById(anchor(id));
      const link = element('a', id);
      link.href = '#' + anchor(id);
      link.addEventListener('click', () => dialog.close());
      const line = element('p', '');
      line.append(link);
      body.append(line);
      const text = policy && policy.querySelector('pre');
      if (text) body.append(element('pre', text.textContent));
    }
    dialog.showModal();
  };

  dialog.addEventListener('click', event => {
    if (event.target === dialog) dialog.close();
  });

  for (const matrix of document.querySelectorAll('.matrix')) {
    const rows = [...matrix.querySelectorAll('tbody tr')];
    const names = [...matrix.querySelectorAll('.names th')];
    const groups = [...matrix.querySelectorAll('.groups th')];
    const [who, what, shown] = ['.who', '.what', '.shown'].map(name => matrix.querySelector(name));
    const grid = rows.map(row => [...row.querySelectorAll('button')]);
    const first = grid[0] && grid[0][0];
    if (first) first.tabIndex = 0;

    const filter = () => {
      const has = (element, input) =>
        element.textContent.toLowerCase().includes(input.value.trim().toLowerCase());
      const columns = names.map(name => has(name, what));
      let left = 0;
      rows.forEach((row, number) => {
        const fits = grid[number].map(
          (button, column) => columns[column] && (!shown.value || shown.value.includes(button.className)),
        );
        row.hidden = !has(row.cells[0], who) || !fits.some(Boolean);
        grid[number].forEach((button, column) => {
          button.closest('td').hidden = !columns[column];
          button.style.visibility = fits[column] ? '' : 'hidden';
        });
        left += row.hidden ? 0 : 1;
      });
      names.forEach((name, column) => (name.hidden = !columns[column]));
      let column = 0;
      for (const group of groups) {
        const length = Number((group.dataset.span ??= group.colSpan));
        const visible = columns.slice(column, column + length).filter(Boolean).length;
        group.hidden = visible === 0;
        group.colSpan = visible || 1;
        column += length;
      }
      matrix.querySelector('.count').textContent =
        `${left} of ${rows.length} rows, ${columns.filter(Boolean).length} of ${names.length} columns`;
    };
    for (const input of [who, what, shown]) input.addEventListener('input', filter);
    matrix.querySelector('.filters').hidden = false;
    filter();

    // Rows by how much they allow: what is allowed counts before what is conditional.
    const order = matrix.querySelector('.order');
    const access = row => {
      const count = name => row.querySelectorAll(`button.${name}`).length;
      return count('a') * names.length * 2 + count('c');
    };
    const listed = [...rows];
    order.addEventListener('input', () => {
      const most = order.value === 'most';
      rows.splice(0, rows.length, ...listed);
      if (most) rows.sort((a, b) => access(b) - access(a));
      grid.splice(0, grid.length, ...rows.map(row => [...row.querySelectorAll('button')]));
      rows[0]?.parentElement.append(...rows);
      filter();
    });

    const table = matrix.querySelector('table');
    table.addEventListener('click', event => {
      const button = event.target.closest('button');
      if (button) open(button);
    });
    // One cell is in the order of tabs; arrows lead to the others.
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    table.addEventListener('keydown', event => {
      const step = steps[event.key];
      const row = rows.indexOf(event.target.closest('tr'));
      if (!step || row < 0) return;
      event.preventDefault();
      let [down, right] = [row, grid[row].indexOf(event.target)];
      do {
        down += step[0];
        right += step[1];
      } while (
        grid[down] && grid[down][right] && (rows[down].hidden || grid[down][right].closest('td').hidden)
      );
      const next = grid[down] && grid[down][right];
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    table.addEventListener('focusin', event => {
      const button = event.target.closest('button');
      if (!button || button.title) return;
      const column = button.closest('td').cellIndex;
      const words = [
        button.closest('tr').cells[0].dataset.who,
        table.querySelector('.names').cells[column].textContent,
        button.getAttribute('aria-label'),
      ];
      button.title = words.join(', ');
      button.setAttribute('aria-label', words.join(', '));
    });
  }
})();
