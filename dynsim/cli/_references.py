"""What may be cited, and what of it a file asks for."""

from __future__ import annotations

PAPER, SOFTWARE = "pei2023", "dynsim"

# key: kind of BibTeX entry and its fields, in the order in which they are printed.
REFERENCES = {
    SOFTWARE: ("software", "The dynsim developers", "dynsim: a physics engine for neurons", None, {}),
    PAPER: (
        "inproceedings",
        "Pei, Zhengqi and Wang, Shuhui",
        "Dynamics-inspired Neuromorphic Visual Representation Learning",
        2023,
        {"booktitle": "Proceedings of the 40th International Conference on Machine Learning",
         "series": "PMLR", "volume": "202", "pages": "27521"},
    ),
    "euler1768": ("book", "Euler, Leonhard", "Institutionum calculi integralis", 1768, {"volume": "1"}),
    "heun1900": (
        "article",
        "Heun, Karl",
        "Neue Methoden zur approximativen Integration der Differentialgleichungen einer unabhängigen Veränderlichen",
        1900,
        {"journal": "Zeitschrift für Mathematik und Physik", "volume": "45", "pages": "23--38"},
    ),
    "kutta1901": (
        "article",
        "Kutta, Wilhelm",
        "Beitrag zur näherungsweisen Integration totaler Differentialgleichungen",
        1901,
        {"journal": "Zeitschrift für Mathematik und Physik", "volume": "46", "pages": "435--453"},
    ),
    "zennaro1986": (
        "article",
        "Zennaro, Marino",
        "Natural continuous extensions of Runge-Kutta methods",
        1986,
        {"journal": "Mathematics of Computation", "volume": "46", "pages": "119--133"},
    ),
    "bogacki1989": (
        "article",
        "Bogacki, Przemysław and Shampine, Lawrence F.",
        "A 3(2) pair of Runge-Kutta formulas",
        1989,
        {"journal": "Applied Mathematics Letters", "volume": "2", "pages": "321--325"},
    ),
    "dormand1980": (
        "article",
        "Dormand, John R. and Prince, Peter J.",
        "A family of embedded Runge-Kutta formulae",
        1980,
        {"journal": "Journal of Computational and Applied Mathematics", "volume": "6", "pages": "19--26"},
    ),
    "shampine1986": (
        "article",
        "Shampine, Lawrence F.",
        "Some practical Runge-Kutta formulas",
        1986,
        {"journal": "Mathematics of Computation", "volume": "46", "pages": "135--150"},
    ),
    "hairer1993": (
        "book",
        "Hairer, Ernst and Nørsett, Syvert P. and Wanner, Gerhard",
        "Solving Ordinary Differential Equations I: Nonstiff Problems",
        1993,
        {"publisher": "Springer", "edition": "2"},
    ),
    "tsitouras2011": (
        "article",
        "Tsitouras, Charalampos",
        "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption",
        2011,
        {"journal": "Computers and Mathematics with Applications", "volume": "62", "pages": "770--775"},
    ),
    "bellen2003": (
        "book",
        "Bellen, Alfredo and Zennaro, Marino",
        "Numerical Methods for Delay Differential Equations",
        2003,
        {"publisher": "Oxford University Press"},
    ),
    "indyk2022": (
        "inproceedings",
        "Indyk, Piotr and Silwal, Sandeep",
        "Faster Linear Algebra for Distance Matrices",
        2022,
        {"booktitle": "Advances in Neural Information Processing Systems", "volume": "35"},
    ),
    "debuyl2014": (
        "article",
        "de Buyl, Pierre and Colberg, Peter H. and Höfling, Felix",
        "H5MD: A structured, efficient, and portable file format for molecular data",
        2014,
        {"journal": "Computer Physics Communications", "volume": "185", "pages": "1546--1553"},
    ),
    "kingma2015": (
        "inproceedings",
        "Kingma, Diederik P. and Ba, Jimmy",
        "Adam: A Method for Stochastic Optimization",
        2015,
        {"booktitle": "International Conference on Learning Representations"},
    ),
    "polyak1964": (
        "article",
        "Polyak, Boris T.",
        "Some methods of speeding up the convergence of iteration methods",
        1964,
        {"journal": "USSR Computational Mathematics and Mathematical Physics", "volume": "4", "pages": "1--17"},
    ),
    "ioffe2015": (
        "inproceedings",
        "Ioffe, Sergey and Szegedy, Christian",
        "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
        2015,
        {"booktitle": "Proceedings of the 32nd International Conference on Machine Learning",
         "series": "PMLR", "volume": "37", "pages": "448--456"},
    ),
    "lecun1998": (
        "article",
        "LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick",
        "Gradient-based learning applied to document recognition",
        1998,
        {"journal": "Proceedings of the IEEE", "volume": "86", "pages": "2278--2324"},
    ),
    "xiao2017": (
        "misc",
        "Xiao, Han and Rasul, Kashif and Vollgraf, Roland",
        "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        2017,
        {"note": "arXiv:1708.07747"},
    ),
    "clanuwat2018": (
        "misc",
        "Clanuwat, Tarin and Bober-Irizar, Mikel and Kitamoto, Asanobu and Lamb, Alex and Yamamoto, Kazuaki and "
        "Ha, David",
        "Deep Learning for Classical Japanese Literature",
        2018,
        {"note": "arXiv:1812.01718"},
    ),
    "krizhevsky2009": (
        "techreport",
        "Krizhevsky, Alex",
        "Learning multiple layers of features from tiny images",
        2009,
        {"institution": "University of Toronto"},
    ),
    "howard2017": (
        "misc",
        "Howard, Andrew G. and Zhu, Menglong and Chen, Bo and Kalenichenko, Dmitry and Wang, Weijun and "
        "Weyand, Tobias and Andreetto, Marco and Adam, Hartwig",
        "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        2017,
        {"note": "arXiv:1704.04861"},
    ),
    "hinton2015": (
        "misc",
        "Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff",
        "Distilling the Knowledge in a Neural Network",
        2015,
        {"note": "arXiv:1503.02531"},
    ),
    "alpaydin1998": (
        "misc",
        "Alpaydin, Ethem and Kaynak, Cenk",
        "Optical Recognition of Handwritten Digits",
        1998,
        {"note": "UCI Machine Learning Repository"},
    ),
}  # fmt: skip

INTEGRATORS = {
    "euler": ("euler1768",),
    "heun": ("heun1900",),
    "rk4": ("kutta1901", "zennaro1986"),
    "bs32": ("bogacki1989",),
    "dopri5": ("dormand1980", "shampine1986"),
    "dop853": ("hairer1993",),
    "tsit5": ("tsitouras2011",),
}
MOTIONS = {"adam": ("kingma2015",), "inertial": ("polyak1964",)}
DATA = {
    "mnist": ("lecun1998",),
    "fashion-mnist": ("xiao2017",),
    "kmnist": ("clanuwat2018",),
    "cifar10": ("krizhevsky2009",),
    "digits": ("alpaydin1998",),
}


def used(facts):
    """[(key, what it is cited for)] for the facts that a file states, always with the software and the paper.

    Facts of other types than dynsim states them in, and methods that it does not have, are left out.

    >>> [key for key, _ in used({"integrator": "heun"})]
    ['dynsim', 'pei2023', 'heun1900']
    """
    found = {SOFTWARE: "the program", PAPER: "neurons as particles"}
    integrator, motion, data = (_of_type(str, facts.get(name)) for name in ("integrator", "motion", "data"))
    for key in INTEGRATORS.get(integrator, (integrator,) if _is_method(integrator) else ()):
        found.setdefault(key, f"the method {integrator}")
    if facts.get("delay"):
        found.setdefault("bellen2003", "integration with delays")
    kernel = _of_type(dict, facts.get("kernel")) or {}
    if kernel.get("profile") == "linear" and kernel.get("metric") == "l1":
        found.setdefault("indyk2022", "products with l1 distances by sorting")
    for key in MOTIONS.get(motion, ()):
        found.setdefault(key, f"the equation of motion {motion}")
    if facts.get("model"):
        found.setdefault("ioffe2015", "batch normalisation")
    if facts.get("model") == "lenet5":
        found.setdefault("lecun1998", "LeNet-5")
    if facts.get("form") == "separable":
        found.setdefault("howard2017", "depthwise separable convolutions")
    if facts.get("distillation"):
        found.setdefault("hinton2015", "learning from the answers of a trained network")
    for key in DATA.get(data, ()):
        found.setdefault(key, f"the data set {data}")
    if facts.get("trajectory"):
        found.setdefault("debuyl2014", "the file format of trajectories")
    return list(found.items())


def _of_type(kind, value):
    return value if isinstance(value, kind) else None


def _is_method(name):
    if name is None:
        return False
    from dynsim.engine import METHODS

    return name in METHODS


def text(key):
    """One reference as a person would print it.

    >>> text("euler1768")
    'Leonhard Euler. Institutionum calculi integralis. 1, 1768.'
    """
    _, authors, title, year, fields = _entry(key)
    names = [" ".join(reversed(name.split(", "))) for name in authors.split(" and ")]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    listed = f"{listed}. " if listed else ""
    order = ("journal", "booktitle", "publisher", "institution", "series", "volume", "pages", "version", "note")
    place = [fields[name].replace("--", " to ") for name in order if name in fields]
    return f"{listed}{title}. {', '.join([*place, str(year)] if year else place)}."


def bibtex(key):
    """One reference as a BibTeX entry (UTF-8).

    >>> print(bibtex("euler1768"))
    @book{euler1768,
      author = {Euler, Leonhard},
      title = {{Institutionum calculi integralis}},
      year = {1768},
      volume = {1},
    }
    """
    kind, authors, title, year, fields = _entry(key)
    lines = {"author": f"{{{authors}}}" if kind == "software" else authors, "title": f"{{{title}}}", "year": year}
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in {**lines, **fields}.items() if value)
    return f"@{kind}{{{key},\n{body}}}"


def _entry(key):
    if key not in REFERENCES:  # an integrator that this table does not know: its own file says where it comes from
        from dynsim.engine import METHODS

        return "misc", "", f"The method {key}", None, {"note": METHODS[key].reference.rstrip(".")}
    kind, authors, title, year, fields = REFERENCES[key]
    if key == SOFTWARE:
        import dynsim

        fields = {"version": dynsim.__version__}
    return kind, authors, title, year, fields
