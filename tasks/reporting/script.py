"""The page's script. Without it everything is there but the tooltips' own box, sorting and the threshold."""

from __future__ import annotations

SCRIPT = """
(() => {
  'use strict';
  const tip = document.createElement('div');
  tip.id = 'tip'; tip.hidden = true; tip.setAttribute('role', 'status');
  document.body.append(tip);
  for (const title of document.querySelectorAll('svg title')) {
    const mark = title.parentNode;
    mark.dataset.tip = title.textContent;
    if (!mark.hasAttribute('aria-label')) mark.setAttribute('aria-label', title.textContent);
    title.remove();
  }
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6)) + 'px';
    tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18) + 'px';
  };
  const show = (mark, x, y) => { tip.textContent = mark.dataset.tip; tip.hidden = false; place(x, y); };
  addEventListener('pointermove', event => {
    const mark = event.target.closest && event.target.closest('[data-tip]');
    if (mark) show(mark, event.clientX, event.clientY); else tip.hidden = true;
  });
  addEventListener('focusin', event => {
    if (!event.target.dataset || !event.target.dataset.tip) return;
    const box = event.target.getBoundingClientRect();
    show(event.target, box.right, box.top);
  });
  addEventListener('focusout', () => { tip.hidden = true; });
  addEventListener('scroll', () => { tip.hidden = true; }, {passive: true});

  for (const table of document.querySelectorAll('table.sortable')) {
    const body = table.tBodies[0], start = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button'; button.append(...head.childNodes); head.append(button);
      button.addEventListener('click', () => {
        const was = head.getAttribute('aria-sort');
        heads.forEach(h => h.removeAttribute('aria-sort'));
        if (was === 'ascending') { body.append(...start); return; }
        const up = was === 'descending' ? 1 : -1;
        head.setAttribute('aria-sort', up > 0 ? 'ascending' : 'descending');
        const key = row => row.cells[column].dataset.value;
        body.append(...[...start].sort((a, b) => {
          const p = key(a), q = key(b);
          if (p === undefined || q === undefined) return (p === undefined) - (q === undefined);
          return up * (isNaN(p) || isNaN(q) ? p.localeCompare(q) : p - q);
        }));
      });
    });
  }

  for (const slider of document.querySelectorAll('input[data-threshold]')) {
    const boxes = slider.closest('section').querySelectorAll('.boxes [data-score]');
    const set = () => {
      slider.nextElementSibling.textContent = (+slider.value).toFixed(2);
      boxes.forEach(box => box.classList.toggle('below', +box.dataset.score < +slider.value));
    };
    slider.closest('.control').hidden = false;
    slider.addEventListener('input', set); set();
  }

  const links = new Map([...document.querySelectorAll('nav a')].map(a => [a.hash.slice(1), a]));
  if ('IntersectionObserver' in window) {
    const seen = new IntersectionObserver(entries => {
      for (const entry of entries) if (entry.isIntersecting) {
        links.forEach(a => a.classList.remove('here'));
        const link = links.get(entry.target.id);
        if (link) link.classList.add('here');
      }
    }, {rootMargin: '-10% 0px -80% 0px'});
    document.querySelectorAll('main section').forEach(s => seen.observe(s));
  }
})();
"""
