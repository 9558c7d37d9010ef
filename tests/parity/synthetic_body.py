"""Write a synthetic (random but plausible) SMPL / SMPL-H / SMPL-X model set plus the small side tables.

Own code, no licensed data in it. The files have the formats, key names, shapes and dtypes that the `smplx` package and
GraphCMR-style SMPL loaders read:

FOLDER/models/smpl/SMPL_{NEUTRAL,MALE,FEMALE}.pkl      6890 v, 13776 f, 24 joints
FOLDER/models/smplh/SMPLH_{MALE,FEMALE}.pkl            6890 v, 13776 f, 52 joints
FOLDER/models/smplx/SMPLX_{NEUTRAL,MALE,FEMALE}.npz    10475 v, 20908 f, 55 joints
FOLDER/models/model_transfer/smplx2smplh_deftrafo_setup.pkl  {'mtx': csc (6890, 20950)}, second half zero
FOLDER/basicModel_{neutral,m,f}_lbs_10_207_0_v1.0.0.pkl
FOLDER/J_regressor_h36m.npy   (17, 6890) float64, rows sum to 1 .. 0.9996
FOLDER/mesh_downsampling.npz  object arrays A (3), U (2), D (2), F (3): 6890 -> 1723 -> 431 (D selects vertices)
FOLDER/seg_part_info.npy      dict: predefined_segparts, verts6890_pids, verts431_pids (float64, 0..7)

The golden arrays were computed with these bodies, so nothing here may change. Numbers come from
numpy.random.RandomState only (a frozen stream).
"""

import pickle

import numpy as np
import scipy.sparse as sp
from scipy.spatial import ConvexHull, cKDTree

V, VX = 6890, 10475
# 24 body joints, T pose, metres, y up (rough human proportions)
BODY = np.array(
    [
        [0, -0.22, 0],
        [0.07, -0.31, 0],
        [-0.07, -0.31, 0],
        [0, -0.10, -0.01],
        [0.10, -0.69, 0],
        [-0.10, -0.69, 0],
        [0, 0.03, 0],
        [0.09, -1.09, -0.03],
        [-0.09, -1.09, -0.03],
        [0, 0.09, 0],
        [0.11, -1.15, 0.09],
        [-0.11, -1.15, 0.09],
        [0, 0.30, -0.01],
        [0.08, 0.20, 0],
        [-0.08, 0.20, 0],
        [0, 0.38, 0.02],
        [0.17, 0.23, -0.01],
        [-0.17, 0.23, -0.01],
        [0.43, 0.22, -0.03],
        [-0.43, 0.22, -0.03],
        [0.68, 0.22, -0.03],
        [-0.68, 0.22, -0.03],
        [0.76, 0.21, -0.03],
        [-0.76, 0.21, -0.03],
    ]
)
PAR = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def hands():
    j, p = [], []
    for side, wrist in ((1, 20), (-1, 21)):
        base = len(j)
        for f in range(5):
            for s in range(3):
                j.append([side * (0.76 + 0.035 * s), 0.21 - 0.004 * s, -0.07 + 0.025 * f])
                p.append(wrist if s == 0 else ("h", base + f * 3 + s - 1))
    return np.array(j), p


def skeleton(kind):
    if kind == "smpl":
        return BODY.copy(), list(PAR)
    hj, hp = hands()
    j, p = list(BODY[:22]), PAR[:22]
    if kind == "smplx":  # jaw, left eye, right eye
        j += [[0, 0.36, 0.05], [0.03, 0.42, 0.08], [-0.03, 0.42, 0.08]]
        p = [*p, 15, 15, 15]
    off = len(j)
    p = p + [x if isinstance(x, int) else off + x[1] for x in hp]
    return np.concatenate([np.array(j), hj]), p


def surface(n):
    """closed genus-0 triangle mesh with n vertices / 2n-4 faces, person-sized, outward faces"""
    i = np.arange(n) + 0.5
    ph, th = np.arccos(1 - 2 * i / n), np.pi * (1 + 5**0.5) * i
    d = np.stack([np.cos(th) * np.sin(ph), np.cos(ph), np.sin(th) * np.sin(ph)], 1)
    f = ConvexHull(d).simplices.astype(np.int64)
    c = np.cross(d[f[:, 1]] - d[f[:, 0]], d[f[:, 2]] - d[f[:, 0]])
    flip = (c * d[f].mean(1)).sum(1) < 0
    f[flip] = f[flip][:, [0, 2, 1]]
    f = f[np.lexsort(f.T[::-1])]

    def lobe(axis, w, h):
        return h * np.exp(((d @ (np.array(axis) / np.linalg.norm(axis))) - 1) / w)

    r = (
        0.16
        + lobe((1, 0.28, 0), 0.02, 0.68)
        + lobe((-1, 0.28, 0), 0.02, 0.68)
        + lobe((0.09, -1, 0), 0.012, 0.75)
        + lobe((-0.09, -1, 0), 0.012, 0.75)
        + lobe((0, 1, 0), 0.04, 0.38)
    )
    return d * r[:, None] * [1, 1, 0.8] + [0, 0, 0], f, d


def tables(v, d, joints, par, nshape, rs, gender_shift):
    nj = len(joints)
    tree = cKDTree(v)
    dist, idx = tree.query(joints, k=12)
    w = np.exp(-dist / 0.05)
    w /= w.sum(1, keepdims=True)
    jreg = sp.csc_matrix((w.ravel(), (np.repeat(np.arange(nj), 12), idx.ravel())), shape=(nj, len(v)))
    dist, idx = cKDTree(joints).query(v, k=4)
    w = np.exp(-(dist - dist.min(1, keepdims=True)) / 0.04)
    w[w < 1e-3] = 0
    w /= w.sum(1, keepdims=True)
    weights = np.zeros((len(v), nj))
    np.put_along_axis(weights, idx, w, 1)
    freq = rs.standard_normal((nshape, 3, 3)) * 2
    phase = rs.random_sample((nshape, 3)) * 6.28
    shapedirs = 0.012 * np.sin(np.einsum("vc,sdc->vds", d, freq) + phase.T[None]) / (1 + np.arange(nshape) * 0.2)
    pf = rs.standard_normal(((nj - 1) * 9, 3)) * 4e-3
    posedirs = pf.T[None] * np.repeat(weights[:, 1:], 9, 1)[:, None]
    return (
        v + gender_shift * shapedirs[..., 0],
        jreg,
        weights,
        shapedirs,
        posedirs,
        np.stack([np.array([4294967295 if p < 0 else p for p in par], np.uint32), np.arange(nj, dtype=np.uint32)]),
    )


def build(seed):
    rs = np.random.RandomState(seed)
    v, f, d = surface(V)
    vx, fx, dx = surface(VX)
    keep = np.ones(len(fx), bool)
    keep[np.linspace(0, len(fx) - 1, len(fx) - 20908).astype(int)] = False  # 20946 -> 20908 (eye / mouth holes)
    fx = fx[keep]
    out, _meshes = {}, {}
    for kind in ("smpl", "smplh", "smplx"):
        mv, mf, md = (vx, fx, dx) if kind == "smplx" else (v, f, d)
        j, par = skeleton(kind)
        for g, s in (("NEUTRAL", 0.0), ("MALE", 0.8), ("FEMALE", -0.8)):
            st = np.random.RandomState(seed + {"smpl": 1, "smplh": 2, "smplx": 3}[kind])
            vt, jr, w, sd, pd, kt = tables(mv, md, j, par, 20 if kind == "smplx" else 10, st, s)
            m = {
                "f": mf.astype(np.uint32),
                "v_template": vt,
                "J_regressor": jr,
                "weights": w,
                "shapedirs": sd,
                "posedirs": pd,
                "kintree_table": kt,
                "J": np.asarray(jr @ vt),
                "bs_style": "lbs",
                "bs_type": "lrotmin",
            }
            if kind != "smpl":
                hs = np.random.RandomState(seed + 11)
                for side in "lr":
                    q, _ = np.linalg.qr(hs.standard_normal((45, 45)))
                    m["hands_components" + side], m["hands_mean" + side] = q.T.copy(), 0.1 * hs.standard_normal(45)
                    m["hands_coeffs" + side] = hs.standard_normal((100, 45))
            if kind == "smplx":
                ls = np.random.RandomState(seed + 12)
                m["lmk_faces_idx"] = ls.randint(0, len(fx), 51).astype(np.int64)
                b = ls.random_sample((51, 3))
                m["lmk_bary_coords"] = b / b.sum(1, keepdims=True)
                m["dynamic_lmk_faces_idx"] = ls.randint(0, len(fx), (79, 17)).astype(np.int64)
                b = ls.random_sample((79, 17, 3))
                m["dynamic_lmk_bary_coords"] = b / b.sum(2, keepdims=True)
            out[kind, g] = m
    # SMPL-X -> SMPL-H vertex transfer: 3 nearest, inverse-distance weights
    dist, idx = cKDTree(vx).query(v, k=3)
    w = 1 / (dist + 1e-4)
    w /= w.sum(1, keepdims=True)
    mtx = sp.csc_matrix((w.ravel(), (np.repeat(np.arange(V), 3), idx.ravel())), shape=(V, 2 * VX))
    # 17 H36M joints
    h36 = np.stack([BODY[i] for i in (0, 2, 5, 8, 1, 4, 7, 3, 12, 15, 15, 16, 18, 20, 17, 19, 21)])
    h36[9] += [0, 0.02, 0.08]
    h36[10] += [0, 0.12, 0]
    dist, idx = cKDTree(v).query(h36, k=8)
    w = np.exp(-dist / 0.1)
    w /= w.sum(1, keepdims=True)
    w *= (
        1 - np.random.RandomState(seed + 13).permutation(17)[:, None] * 2.5e-5
    )  # like published ones: rows do not sum to exactly 1
    j17 = np.zeros((17, V))
    np.put_along_axis(j17, idx, w, 1)
    # vertex subsets 6890 -> 1723 -> 431, adjacency, interpolation
    s1 = np.sort(rs.permutation(V)[:1723])
    s2 = np.sort(rs.permutation(1723)[:431])
    sel = [
        sp.csc_matrix((np.ones(len(s)), (np.arange(len(s)), s)), shape=(len(s), n)) for s, n in ((s1, V), (s2, 1723))
    ]
    lv = [v, v[s1], v[s1][s2]]
    up = []
    for a in (0, 1):
        dist, idx = cKDTree(lv[a + 1]).query(lv[a], k=3)
        w = 1 / (dist + 1e-4)
        w /= w.sum(1, keepdims=True)
        up.append(
            sp.csc_matrix(
                (w.ravel(), (np.repeat(np.arange(len(lv[a])), 3), idx.ravel())), shape=(len(lv[a]), len(lv[a + 1]))
            )
        )
    adj = []
    for x in lv:
        _, idx = cKDTree(x).query(x, k=7)
        adj.append(
            sp.csc_matrix(
                (np.ones(idx[:, 1:].size), (np.repeat(np.arange(len(x)), 6), idx[:, 1:].ravel())),
                shape=(len(x), len(x)),
            )
        )
    # 7 contact parts (left/right sole, left/right hand, back, gluteus, thighs), 0 = none
    pid = np.zeros(V)
    x, y, z = v.T
    for i, m in (
        (1, (y < np.quantile(y[x > 0], 0.03)) & (x > 0)),
        (2, (y < np.quantile(y[x < 0], 0.03)) & (x < 0)),
        (3, x > np.quantile(x, 0.96)),
        (4, x < np.quantile(x, 0.04)),
        (5, (z < -0.10) & (y > 0.02)),
        (6, (z < -0.10) & (y < 0)),
        (7, (z < -0.03) & (y <= -0.11)),
    ):
        pid[m & (pid == 0)] = i
    seg = {
        "predefined_segparts": np.array(["default", "L_Leg", "R_Leg", "L_Hand", "R_Hand", "back", "gluteus", "thighs"]),
        "verts6890_pids": pid,
        "verts431_pids": pid[s1][s2],
    }
    assert all((seg["verts431_pids"] == i).any() for i in range(8)), np.bincount(seg["verts431_pids"].astype(int))
    return out, mtx, j17, {"A": adj, "U": up, "D": sel, "F": [f, f[:3442], f[:858]]}, seg


def obj(lst):
    a = np.empty(len(lst), dtype=object)
    for i, m in enumerate(lst):
        a[i] = m
    return a


def write(folder, seed=7):
    models, mtx, j17, ds, seg = build(seed)
    for (kind, g), m in models.items():
        p = folder / "models" / kind
        p.mkdir(parents=True, exist_ok=True)
        if kind != "smplx" and not (kind == "smplh" and g == "NEUTRAL"):
            (p / f"{kind.upper()}_{g}.pkl").write_bytes(pickle.dumps(m, protocol=2))
        if kind == "smplx":
            np.savez(p / f"SMPLX_{g}.npz", **{**m, "J_regressor": m["J_regressor"].toarray()})
        if kind == "smpl":
            n = {"NEUTRAL": "neutral", "MALE": "m", "FEMALE": "f"}[g]
            (folder / f"basicModel_{n}_lbs_10_207_0_v1.0.0.pkl").write_bytes(pickle.dumps(m, protocol=2))
    p = folder / "models" / "model_transfer"
    p.mkdir(parents=True, exist_ok=True)
    (p / "smplx2smplh_deftrafo_setup.pkl").write_bytes(pickle.dumps({"mtx": mtx}, protocol=2))
    np.save(folder / "J_regressor_h36m.npy", j17)
    np.savez(folder / "mesh_downsampling.npz", **{k: obj(x) for k, x in ds.items()})
    np.save(folder / "seg_part_info.npy", seg)
