"""The page's look. It stands in code, not in a file beside it: so it ships and counts as an input of the report.

Both palettes keep every pair of colours apart for protan, deutan and tritan vision (least distance in OKLab × 100, by
the matrices of Machado et al. 2009: 5.2 on light and 7.2 on dark, 9.7 and 15.8 among the first four), at 3:1 against
their background. Lines and names say the same once more, so no meaning hangs on colour alone.
"""

from __future__ import annotations

LIGHT = ("#4a8dec", "#a83200", "#0f6658", "#ad17bd", "#8a6e14", "#1a7a84", "#dd7660", "#878f9f")
DARK = ("#8fc2ff", "#ffb566", "#23976a", "#da2fe8", "#e09a00", "#b8ecee", "#f52f28", "#8d98b9")

TOKENS = """
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--ink:#171b22;--soft:#545d6b;--faint:#6d7685;--rule:#dfe3e9;
--grid:#e8ebf0;--accent:#2463c2;--heat:#2463c2;--hot:#fff;--wash:#eef3fb;--shade:0 1px 2px #1018280f,
0 1px 6px #1018280a;
%s}
@media (prefers-color-scheme:dark){:root{--page:#0f1217;--card:#171a21;--ink:#e8ebf0;--soft:#a9b2c0;--faint:#8b95a5;
--rule:#2b303a;--grid:#262b34;--accent:#8fc2ff;--heat:#78b4ff;--hot:#0b1220;--wash:#1b2330;--shade:none;
%s}}
%s
.muted{--c:var(--faint)}
"""

LAYOUT = """
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:16px;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:3px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
.shell{max-width:1320px;margin:0 auto;padding:0 24px 80px;display:grid;grid-template-columns:196px minmax(0,1fr);
gap:0 36px}
header.top{grid-column:1/-1;padding:40px 0 22px}
.kicker{display:flex;gap:9px;align-items:center;color:var(--soft);font-size:13.5px;font-weight:600;margin:0 0 8px}
.kicker svg{width:20px;height:20px;flex:none}
h1{font-size:clamp(26px,4.2vw,38px);line-height:1.15;letter-spacing:-.02em;margin:0 0 10px;font-weight:720}
.facts{display:flex;flex-wrap:wrap;gap:4px 20px;margin:0;padding:0;list-style:none;color:var(--soft);font-size:14px}
.facts b{color:var(--ink);font-weight:600}
.facts code{font-size:12.5px}
nav{position:sticky;top:20px;align-self:start;font-size:14px;max-height:calc(100vh - 40px);overflow:auto}
nav h2{font-size:12.5px;color:var(--faint);margin:4px 0 8px 12px;font-weight:600}
nav ol{list-style:none;margin:0;padding:0;border-left:1px solid var(--rule)}
nav a{display:block;padding:4px 12px;margin-left:-1px;border-left:2px solid transparent;color:var(--soft);
text-decoration:none}
nav a:hover{color:var(--ink)}nav a.here{border-color:var(--accent);color:var(--ink);font-weight:600}
main{min-width:0}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:24px 26px 26px;margin:0 0 20px;
box-shadow:var(--shade)}
section>h2{font-size:20px;letter-spacing:-.01em;line-height:1.3;margin:0 0 4px;font-weight:680}
section>p.lead{margin:0 0 18px;color:var(--soft);max-width:74ch}
section h3{font-size:15.5px;margin:26px 0 10px;font-weight:650}
.none{color:var(--soft);background:var(--wash);border-radius:8px;padding:12px 16px;margin:8px 0;max-width:74ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(144px,1fr));gap:10px;margin:0 0 20px}
.tile{border:1px solid var(--rule);border-radius:10px;padding:13px 15px 12px;margin:0;min-width:0}
.tile dt{color:var(--soft);font-size:13px}.tile dd{margin:0}
.tile .big{font-size:25px;line-height:1.25;font-weight:680;letter-spacing:-.02em;
font-variant-numeric:proportional-nums}
.tile .sub b{color:var(--ink);font-weight:500}.tile .sub{color:var(--soft);font-size:13px;line-height:1.4}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:26px 30px;
align-items:start}
.charts.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
footer{grid-column:2;color:var(--soft);font-size:13.5px;padding:0 4px}
details{margin-top:14px}summary{cursor:pointer;color:var(--accent);font-size:14px}
@media (max-width:1000px){.shell{grid-template-columns:minmax(0,1fr);padding:0 16px 56px}
header.top{padding:26px 0 16px}
nav{position:static;max-height:none;margin:0 0 16px}nav h2{margin-left:0}
nav ol{display:flex;gap:6px;overflow-x:auto;border:0;padding-bottom:6px}
nav a,nav a.here{border:1px solid var(--rule);border-radius:99px;margin:0;white-space:nowrap;background:var(--card);
padding:4px 13px;font-weight:500}
section{padding:18px 14px 20px}footer{grid-column:1}}
@media (max-width:480px){.tiles{grid-template-columns:1fr 1fr;gap:9px}.tile{padding:11px 12px}
.tile .big{font-size:22px}}
@media print{nav,.control{display:none}.shell{display:block}section{break-inside:avoid-page;box-shadow:none}
.tall,.long{max-height:none!important}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""

TABLES = """
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:8px 12px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card);z-index:1;max-width:min(42vw,260px);
overflow:hidden;text-overflow:ellipsis}
td.text,th.text{text-align:left;white-space:normal;min-width:150px;overflow-wrap:anywhere}
thead th{white-space:pre;color:var(--soft);font-weight:600;font-size:13px;vertical-align:bottom;
border-bottom-color:var(--faint)}
thead th button{all:unset;cursor:pointer}thead th button:focus-visible{outline:2px solid var(--accent)}
thead th[aria-sort=ascending] button::after{content:" \\2191"}
thead th[aria-sort=descending] button::after{content:" \\2193"}
tbody tr:hover td,tbody tr:hover th{background:var(--wash)}
tbody th{font-weight:600}
.long{max-height:640px;overflow-y:auto}.long thead th{position:sticky;top:0;background:var(--card);z-index:2}
.long thead th:first-child{z-index:3}tr.group td,tr.group th{border-top:2px solid var(--rule)}
td .gauge{display:block;height:4px;border-radius:2px;background:var(--grid);margin-top:3px;min-width:58px}
td .gauge i{display:block;height:100%;border-radius:2px;background:var(--c,var(--accent))}
td.best{font-weight:680}td.na{color:var(--faint)}
.dim{color:var(--soft)}.pill{display:inline-block;border:1px solid var(--rule);border-radius:99px;padding:0 9px;
font-size:12.5px;color:var(--soft);white-space:nowrap}
code{font:13px/1.4 ui-monospace,SFMono-Regular,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
"""

CHARTS = """
figure{margin:0;min-width:0}
.chart{max-width:500px}.chart.wide{max-width:none;grid-column:1/-1}
.chart figcaption b{display:block;font-size:15px;font-weight:650;line-height:1.35}
.chart figcaption span{display:block;color:var(--soft);font-size:13px;line-height:1.4;margin-bottom:4px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0 4px;padding:0;font-size:13px;
color:var(--soft)}
.legend li{display:flex;align-items:center;gap:7px;min-width:0;overflow-wrap:anywhere}
.legend i{flex:none;width:18px;height:0;border-top:3px solid var(--c)}.legend i.dash{border-top-style:dashed}
.legend i.swatch{width:12px;height:12px;border:3px solid var(--c);border-radius:3px;background:#20242c}
.plot{display:block;width:100%;height:auto;overflow:visible;font-size:12px;margin-top:6px}
.scroll>.plot{max-width:none}
.tall{max-height:540px;overflow-y:auto;padding-right:6px}
.plot text{fill:var(--soft)}.plot .name{fill:var(--ink)}.plot .value{font-size:11px}
.plot .axis-title{fill:var(--soft);font-size:12px;font-weight:600}
.grid{stroke:var(--grid)}.axis{stroke:var(--faint)}
.plot .line path{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.plot .line.dashed path{stroke-dasharray:5 4}
.plot .line path.fill{fill:var(--c);fill-opacity:.09;stroke:none}
.plot .line.muted path{stroke-width:1;opacity:.5}.plot .line:hover path{stroke-width:3;opacity:1}
.plot .dot{fill:var(--c);stroke:var(--c);stroke-opacity:0;stroke-width:9;cursor:default}
.plot .dot.quiet{fill-opacity:0}.plot .dot:hover{stroke-opacity:.28;fill-opacity:1}
.plot .bar{fill:var(--c)}.plot .bar:hover{opacity:.8}
.plot .bubble{fill:var(--c);fill-opacity:.62;stroke:var(--c);stroke-width:1.5}
.plot .sheet{fill:none;stroke:var(--rule)}.plot .cell{fill:var(--heat)}
.plot .count{fill:var(--ink);font-size:11px;pointer-events:none}.plot .count.strong{fill:var(--hot);font-weight:600}
#tip{position:fixed;z-index:9;pointer-events:none;background:var(--ink);color:var(--page);font-size:13px;
line-height:1.4;
padding:6px 10px;border-radius:7px;white-space:pre-line;max-width:min(320px,80vw);overflow-wrap:anywhere;
box-shadow:0 4px 14px #0004}
"""

PICTURES = """
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,230px),1fr));gap:14px;margin:10px 0 4px}
.gallery.small{grid-template-columns:repeat(auto-fill,minmax(min(47%,200px),1fr))}
.shot{position:relative;border-radius:8px;overflow:hidden;background:var(--grid);max-height:420px;margin:0 auto;
width:100%}
.shot img{position:absolute;inset:0;width:100%;height:100%;object-fit:fill;display:block}
.shot .boxes{position:absolute;inset:0;width:100%;height:100%}
.boxes rect{fill:transparent;stroke:var(--c);stroke-width:1.8;vector-effect:non-scaling-stroke}
.boxes rect.under{stroke:#000;stroke-opacity:.5;stroke-width:3.2}
.boxes .box:hover rect+rect{fill:var(--c);fill-opacity:.22;stroke-width:3}
.boxes .expected rect+rect{stroke-dasharray:6 4;stroke:#fff}
.boxes text{fill:#fff;stroke:#000;stroke-width:.22em;paint-order:stroke;font-weight:650;stroke-linejoin:round}
.boxes .below{display:none}
.card-shot figcaption{font-size:13px;line-height:1.4;margin-top:7px;color:var(--soft)}
.card-shot figcaption span{display:block;overflow-wrap:anywhere}
.card-shot figcaption span:first-child{color:var(--ink);font-weight:600}
.row{border-top:1px solid var(--rule);padding-top:14px;margin-top:16px}
.row>h3{margin:0 0 2px;font-size:14px;font-weight:600;color:var(--soft)}
.control{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center;font-size:14px;color:var(--soft);margin:0 0 12px}
.control input{accent-color:var(--accent);width:min(260px,60vw)}.control output{color:var(--ink);font-weight:650;
min-width:3ch}
"""


def stylesheet() -> str:
    """The whole style sheet. Pictures are as dark or light as they are: boxes take the bright palette in both modes."""
    light, dark = (_variables(colours) for colours in (LIGHT, DARK))
    bright = [f".boxes .s{i},.chips .s{i}{{--c:{colour}}}" for i, colour in enumerate(DARK)]
    picks = "\n".join([*(f".s{i}{{--c:var(--c{i})}}" for i in range(len(LIGHT))), *bright])
    return TOKENS % (light, dark, picks) + LAYOUT + TABLES + CHARTS + PICTURES


def _variables(colours: tuple[str, ...]) -> str:
    return ";".join(f"--c{i}:{colour}" for i, colour in enumerate(colours))
