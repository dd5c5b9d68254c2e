"""What the card adds to the page's look and script; both stand in code, as those of the report do."""

from __future__ import annotations

STYLE = """
.plot .hit{fill:var(--ink);fill-opacity:0}.plot .hit:hover{fill-opacity:.07}
.gallery .shot{margin:0;max-height:none}
.gallery .shot::after,.strip .shot::after{content:"";position:absolute;inset:0;border:1px solid #80808059;
border-radius:inherit;pointer-events:none}
.boxes .masked rect{stroke-opacity:0}.boxes .masked:hover rect+rect{stroke-opacity:1}
.boxes path{fill:transparent;stroke:var(--c);stroke-width:1.6;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.boxes path.under{stroke:#000;stroke-opacity:.5;stroke-width:3}
.boxes .box:hover path+path{fill:var(--c);fill-opacity:.3;stroke-width:2.6}
.boxes .crowd rect+rect{stroke-dasharray:3 3}.boxes .ignored rect+rect{stroke-dasharray:6 5;stroke:#fff}
.boxes .point{fill:var(--c);stroke:#000;stroke-opacity:.6;stroke-width:.5}
.boxes .point.hollow{fill:none;stroke:var(--c);stroke-opacity:1;stroke-width:1.4}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:3px;border-radius:8px;overflow:hidden}
.pair .shot{border-radius:0}.pair p.none{margin:0;font-size:13px;padding:10px}
.gallery.pairs{grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr))}
.gallery.tight{grid-template-columns:repeat(auto-fill,minmax(min(47%,150px),1fr));gap:10px}
.strip{display:grid;grid-template-columns:minmax(110px,176px) minmax(0,1fr);gap:4px 16px;align-items:center;
border-top:1px solid var(--rule);padding:9px 0}

.strip h3{margin:0;font-size:14px;line-height:1.35;overflow-wrap:anywhere}
.strip h3 span{display:block;color:var(--soft);font-weight:400;font-size:13px}
.strip>div{display:grid;grid-template-columns:repeat(7,minmax(0,1fr));gap:6px;max-width:780px;align-items:center}
.strip .shot{margin:0;border-radius:6px;max-height:none}.strip p.none{margin:0;padding:6px;font-size:12px}
button.draw{font:inherit;font-size:14px;font-weight:600;color:var(--page);background:var(--ink);border:0;
border-radius:8px;padding:7px 15px;cursor:pointer}
button.draw:hover{background:var(--accent)}
.control select{font:inherit;font-size:14px;color:var(--ink);background:var(--card);border:1px solid var(--rule);
border-radius:8px;padding:6px 9px;max-width:min(240px,60vw)}
.control label{display:flex;gap:7px;align-items:center}
ul.advice{list-style:none;margin:0;padding:0;max-width:86ch}
ul.advice li{border-left:3px solid var(--rule);padding:2px 0 2px 14px;margin:0 0 14px}
ul.advice li.strong{border-color:var(--accent)}
ul.advice b{display:block;font-weight:650;overflow-wrap:anywhere}
ul.advice span{color:var(--soft);overflow-wrap:anywhere}
.recipe{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px 18px;margin:0;font-size:14px}
.recipe dt{color:var(--soft)}.recipe dd{margin:0;overflow-wrap:anywhere}
.recipe pre{margin:0;white-space:pre-wrap;background:var(--wash);border-radius:8px;padding:9px 13px}
.pill.leak{border-color:var(--accent);color:var(--ink);font-weight:650}
.card-shot figcaption bdi{word-break:break-all}
.scroll+.scroll,.scroll+.charts,.charts+.scroll,.charts+.none,.none+.charts,.scroll+.none{margin-top:18px}
@media (max-width:480px){.strip{grid-template-columns:minmax(0,1fr)}
.strip>div{grid-template-columns:repeat(4,minmax(0,1fr))}
.recipe{grid-template-columns:minmax(0,1fr);gap:1px}.recipe dd{margin-bottom:9px}}
"""

# the rest of the drawn pictures lies in a template: the browser does not decode it before it is drawn
SCRIPT = """
(() => {
  'use strict';
  const board = document.getElementById('drawn'), rest = document.getElementById('undrawn');
  const control = document.querySelector('.control.again');
  if (!board || !rest || !control) return;
  const pool = [...board.children, ...rest.content.children];
  const shown = board.children.length;
  const button = control.querySelector('button'), said = control.querySelector('output');
  const chosen = key => { const list = control.querySelector('select[data-by=' + key + ']');
    return list ? list.value : ''; };
  const has = (shot, key, wanted) => wanted === '' || (shot.dataset[key] || '').split(' ').includes(wanted);
  const adapt = shot => { for (const title of shot.querySelectorAll('svg title')) {
    const mark = title.parentNode; mark.dataset.tip = title.textContent;
    if (!mark.hasAttribute('aria-label')) mark.setAttribute('aria-label', title.textContent);
    title.remove(); } };
  const draw = () => {
    const among = pool.filter(shot => has(shot, 'classes', chosen('classes')) && has(shot, 'split', chosen('split')));
    for (let i = 0; i < Math.min(shown, among.length); i++) {
      const j = i + Math.floor(Math.random() * (among.length - i));
      [among[i], among[j]] = [among[j], among[i]];
    }
    const taken = among.slice(0, shown);
    taken.forEach(adapt);
    board.replaceChildren(...taken);
    said.textContent = among.length === pool.length ? taken.length + ' of ' + pool.length + ' pictures in this page'
      : taken.length + ' of ' + among.length + ' that fit';
  };
  control.hidden = false;
  button.addEventListener('click', draw);
  control.querySelectorAll('select').forEach(list => list.addEventListener('change', draw));
})();
"""
