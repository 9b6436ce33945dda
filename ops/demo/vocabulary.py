"""The words of a made-up fashion shop: colours, cloths, cuts, and what each kind of garment can be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Garment:
    """A kind of product; `shapes` and `details` are lists of words that only it can have, separated by commas.

    `low` and `high` bound its price, `ages` says who wears it (women, men, girls, boys, newborns), and `share` how
    common it is beside the others.
    """

    product_type: str
    product_group: str
    fabrics: tuple[str, ...]
    low: int
    high: int
    shapes: str
    details: str
    ages: str = "WMGBN"
    share: int = 1


COTTONS = ("cotton", "organic cotton", "cotton jersey", "cotton poplin", "brushed cotton", "ribbed cotton")
WARM = ("wool blend", "merino wool", "cashmere blend", "chunky knit cotton", "alpaca blend", "recycled polyester knit")
LIGHT = ("viscose", "linen", "linen blend", "satin", "chiffon", "lyocell", "crinkled viscose")
SPORTS = ("fast-drying mesh", "stretch jersey", "seamless nylon", "recycled polyester", "ripstop nylon")
DENIM = ("stretch denim", "rigid denim", "washed denim", "organic cotton denim")
COATS = ("wool felt", "quilted nylon", "cotton twill", "water-repellent shell", "teddy fleece", "padded polyester")
LEATHERS = ("leather", "suede", "imitation leather", "canvas", "recycled rubber")
METALS = ("metal", "gold-plated brass", "glass beads", "stainless steel", "resin")

# fmt: off
GARMENTS: tuple[Garment, ...] = (
    Garment("T-shirt", "Tops", COTTONS, 4, 25, share=9,
            shapes="crew-neck, V-neck, oversized, fitted, cropped, long-line",
            details="a print on the chest, short sleeves, rolled-up cuffs, a chest pocket, dropped shoulders, "
                    "ribbed trim at the neck"),
    Garment("Vest top", "Tops", COTTONS + SPORTS, 4, 20, ages="WMG", share=4,
            shapes="racer-back, scoop-neck, ribbed, cropped, wide-strap",
            details="narrow shoulder straps, a low back, lace trim, a curved hem, a soft inner top"),
    Garment("Shirt", "Tops", COTTONS + LIGHT, 12, 50, share=5,
            shapes="slim-fit, relaxed, button-down, grandad-collar, oversized",
            details="a turn-down collar, pearly buttons, a yoke at the back, an open chest pocket, "
                    "long sleeves with cuffs, a rounded hem"),
    Garment("Blouse", "Tops", LIGHT, 12, 60, ages="WG", share=4,
            shapes="ruffled, tie-neck, wrap-front, puff-sleeved, smocked",
            details="covered buttons, a V-shaped opening at the front, wide balloon sleeves, "
                    "a flounce at the hem, a keyhole at the back"),
    Garment("Polo shirt", "Tops", COTTONS + SPORTS, 9, 40, ages="MWB",
            shapes="piqué, slim-fit, striped, zip-neck",
            details="a ribbed collar, a button placket, slits in the sides, short ribbed sleeves"),
    Garment("Bodysuit", "Baby wear", COTTONS, 4, 18, ages="NW", share=2,
            shapes="wrap-over, long-sleeved, short-sleeved, envelope-neck",
            details="press-studs at the crotch, fold-over mittens, an all-over print, a small collar"),
    Garment("Jumper", "Knitwear", WARM, 15, 90, share=6,
            shapes="cable-knit, polo-neck, crew-neck, ribbed, slouchy, fine-knit",
            details="long raglan sleeves, wide ribbing at the hem, a zip at the neck, dropped shoulders, "
                    "a jacquard pattern"),
    Garment("Cardigan", "Knitwear", WARM, 15, 90, share=3,
            shapes="long, cropped, chunky, shawl-collar, boxy",
            details="large front pockets, horn buttons, a tie belt, elbow patches, ribbed edges"),
    Garment("Hoodie", "Sweats", COTTONS + SPORTS, 14, 50, share=3,
            shapes="oversized, zip-through, cropped, fleece-lined",
            details="a kangaroo pocket, a jersey-lined hood, a drawstring, ribbing at the cuffs and hem, "
                    "brushed inside"),
    Garment("Sweatshirt", "Sweats", COTTONS, 10, 45, share=3,
            shapes="crew-neck, half-zip, relaxed, embroidered",
            details="a soft brushed inside, a motif on the front, ribbed side panels, long raglan sleeves"),
    Garment("Jeans", "Bottoms", DENIM, 18, 80, share=4,
            shapes="slim, straight, wide-leg, skinny high-waist, tapered, mom-fit",
            details="a zip fly, worn details, a raw-edge hem, five pockets, an adjustable elasticated waist, "
                    "leather patch at the back"),
    Garment("Trousers", "Bottoms", (*COTTONS, *LIGHT, "wool blend"), 15, 80, share=7,
            shapes="tapered, wide-leg, pleated, cargo, slim-fit chino, pull-on",
            details="creases at the front, side pockets, a concealed zip, a tie belt, leg pockets with a flap"),
    Garment("Leggings", "Bottoms", SPORTS + COTTONS, 6, 45, ages="WGN", share=3,
            shapes="high-waist, seamless, ankle-length, ribbed, shaping",
            details="a wide waistband, a hidden key pocket, flat seams, mesh panels, a brushed inside"),
    Garment("Joggers", "Bottoms", COTTONS + SPORTS, 9, 45, share=2,
            shapes="tapered, loose-fit, cuffed, fleece-lined",
            details="a drawstring waist, zipped side pockets, ribbed hems, a back pocket"),
    Garment("Shorts", "Bottoms", COTTONS + DENIM + SPORTS, 7, 40, share=4,
            shapes="knee-length, high-waist, chino, running, pull-on",
            details="roll-up hems, an elasticated drawstring waist, a back pocket with a button, "
                    "short slits in the sides"),
    Garment("Skirt", "Skirts and dresses", LIGHT + DENIM, 10, 60, ages="WG", share=3,
            shapes="pleated, A-line, pencil, wrap, tiered, mini",
            details="a concealed zip at the side, a slit at the front, an elasticated waist, a lace hem, "
                    "a tie at the waist"),
    Garment("Dress", "Skirts and dresses", LIGHT + COTTONS, 14, 120, ages="WGN", share=7,
            shapes="wrap, shirt, bodycon, maxi, tiered, slip, A-line",
            details="a tie belt at the waist, puff sleeves, an opening at the back, a flared skirt, "
                    "a smocked bodice, narrow adjustable straps"),
    Garment("Jumpsuit", "Skirts and dresses", LIGHT + COTTONS, 20, 90, ages="WGN",
            shapes="wide-leg, utility, wrap-front, sleeveless",
            details="a removable belt, patch pockets, a seam at the waist, buttons down the front"),
    Garment("Jacket", "Outerwear", COATS + DENIM, 25, 150, share=4,
            shapes="bomber, biker, denim, quilted, shirt, windproof",
            details="a stand-up collar, a zip down the front, welt side pockets, a detachable hood, "
                    "an inner pocket, press-studs at the cuffs"),
    Garment("Coat", "Outerwear", COATS, 40, 220, share=2,
            shapes="double-breasted, trench, down, wrap, duffel, car",
            details="notch lapels, a tie belt, a back vent, deep side pockets, a detachable faux-fur trim, "
                    "a satin lining"),
    Garment("Blazer", "Tailoring", ("wool blend", "linen blend", "stretch twill", "cotton twill"),
            30, 160, ages="WMB", share=2,
            shapes="single-breasted, oversized, slim-fit, double-breasted",
            details="peak lapels, decorative buttons at the cuffs, flap pockets, a lined back, shoulder pads"),
    Garment("Suit trousers", "Tailoring", ("wool blend", "stretch twill", "linen blend"), 25, 90, ages="WM",
            shapes="slim-fit, regular-fit, cropped, wide",
            details="legs with creases, a concealed hook-and-eye fastener, welt back pockets, a lined front"),
    Garment("Bra", "Underwear", ("lace", "microfibre", "cotton jersey", "seamless nylon"), 8, 40, ages="W", share=3,
            shapes="push-up, non-wired, balconette, sports, soft-cup",
            details="padded underwired cups, adjustable shoulder straps, a lace trim, a racer back, mesh wings"),
    Garment("Briefs", "Underwear", (*COTTONS, "lace", "microfibre"), 4, 25, share=3,
            shapes="hipster, high-waist, thong, seamless, boxer",
            details="an elasticated waist, a lined gusset, flat seams, a lace back"),
    Garment("Pyjamas", "Nightwear", (*COTTONS, "satin", "flannel"), 10, 50, share=2,
            shapes="two-piece, short, printed, long-sleeved",
            details="a notched collar, a chest pocket, a drawstring waist, piping along the edges"),
    Garment("Socks", "Hosiery", (*COTTONS, "wool blend", "cotton terry"), 3, 18, share=3,
            shapes="ankle, knee-high, trainer, patterned, five-pack",
            details="ribbed tops, reinforced heels, anti-slip soles, an arch support"),
    Garment("Tights", "Hosiery", ("20 denier nylon", "microfibre", "fine-knit cotton", "50 denier nylon"),
            4, 25, ages="WGN",
            shapes="sheer, opaque, shaping, patterned",
            details="a reinforced toe, a wide waistband, a cotton gusset, invisible seams"),
    Garment("Bikini top", "Swimwear", ("recycled polyamide", "ribbed polyamide", "crinkled polyamide"),
            8, 35, ages="WG", share=2,
            shapes="triangle, bandeau, push-up, halter-neck",
            details="removable inserts, ties at the back of the neck, a fastener at the back, side support"),
    Garment("Swim shorts", "Swimwear", ("recycled polyester", "quick-dry nylon"), 9, 35, ages="MBN",
            shapes="knee-length, short, printed, plain",
            details="a mesh lining, a drawstring waist, a back pocket with hook and loop, slits in the sides"),
    Garment("Trainers", "Shoes", (*LEATHERS, "mesh"), 18, 90, share=2,
            shapes="chunky, low-top, high-top, slip-on, running",
            details="a padded edge, lacing at the front, a patterned rubber sole, a loop at the back, "
                    "a cushioned insole"),
    Garment("Boots", "Shoes", LEATHERS, 25, 150, share=2,
            shapes="ankle, Chelsea, lace-up, knee-high, hiking",
            details="elastic gores at the sides, a zip at the side, a block heel, a fleece lining, a chunky sole"),
    Garment("Sandals", "Shoes", LEATHERS, 10, 60,
            shapes="strappy, platform, slide, wedge, T-bar",
            details="an adjustable ankle strap, a moulded footbed, a braided upper, a hook-and-loop fastener"),
    Garment("Bag", "Accessories", (*LEATHERS, "straw"), 12, 90, ages="WMGB", share=2,
            shapes="shoulder, tote, cross-body, weekend, bucket, backpack",
            details="a zip at the top, an adjustable strap, an inner compartment, a magnetic fastener, a metal chain"),
    Garment("Belt", "Accessories", LEATHERS[:3], 6, 35, ages="WMB",
            shapes="narrow, wide, braided, waist",
            details="a metal buckle, a reversible strap, punched holes, a covered buckle"),
    Garment("Scarf", "Accessories", WARM + LIGHT, 6, 50,
            shapes="large, woven, ribbed, tube, printed",
            details="fringes along the short sides, a jacquard pattern, overlocked edges, a checked pattern"),
    Garment("Hat", "Accessories", (*WARM, *COTTONS, "straw"), 5, 35,
            shapes="beanie, bucket, baseball-cap, fedora, sun",
            details="a turn-up brim, a pompom, an embroidered badge, an adjustable strap at the back, a ribbed edge"),
    Garment("Earrings", "Accessories", METALS, 3, 25, ages="WG", share=2,
            shapes="hoop, stud, drop, ear-cuff",
            details="a matte finish, glass stones, a butterfly back, a set of three pairs"),
    Garment("Necklace", "Accessories", METALS, 4, 30, ages="WG",
            shapes="layered, choker, pendant, chain-link",
            details="an adjustable length, a round pendant, a lobster clasp, two chains of different lengths"),
)
# fmt: on

COLORS: tuple[str, ...] = (
    "Black", "White", "Dark Blue", "Light Blue", "Grey", "Dark Grey", "Light Beige", "Beige", "Brown", "Dark Brown",
    "Red", "Dark Red", "Pink", "Light Pink", "Yellow", "Mustard", "Orange", "Coral", "Green", "Dark Green",
    "Khaki", "Mint", "Turquoise", "Purple", "Lilac", "Gold", "Silver", "Off White",
)  # fmt: skip
COLOR_WEIGHTS: tuple[int, ...] = (22, 12, 11, 6, 5, 5, 4, 4, 3, 2, 5, 2, 4, 5, 3, 1, 2, 1, 3, 4, 3, 1, 1, 2, 1, 1, 1, 4)

LINES: tuple[str, ...] = (
    "Alba", "Arlo", "Bela", "Birk", "Cleo", "Cora", "Dara", "Edda", "Elio", "Enya", "Fara", "Finn", "Gaia", "Halle",
    "Ida", "Ilse", "Ivo", "Juno", "Kaia", "Kit", "Lark", "Lena", "Liv", "Lou", "Mara", "Mika", "Milo", "Nell", "Noor",
    "Odin", "Ola", "Orla", "Pax", "Pia", "Quinn", "Remy", "Rhea", "Rio", "Rune", "Saga", "Sol", "Stella", "Sven",
    "Tess", "Tilda", "Uma", "Vera", "Vida", "Wilma", "Yara", "Zelda", "Zora",
)  # fmt: skip
"""Names of product lines, as shops give to everything they sell."""

PATTERNS: tuple[str, ...] = (
    "plain", "striped", "checked", "floral", "polka-dot", "leopard-print", "tie-dye", "colour-block", "melange",
)  # fmt: skip
PATTERN_WEIGHTS: tuple[int, ...] = (60, 9, 6, 8, 4, 3, 2, 4, 4)

OCCASIONS: tuple[str, ...] = (
    "Made for everyday wear", "A wardrobe staple for the office", "Easy to dress up for a party",
    "Designed for training and running", "Ideal for cool evenings", "A light layer for summer days",
    "Made to last for many seasons", "Comfortable for travelling", "Cut for a relaxed weekend", "Warm on winter days",
)  # fmt: skip

CARE: tuple[str, ...] = (
    "Machine wash at 40 degrees.", "Machine wash at 30 degrees.", "Hand wash only.", "Wipe clean with a damp cloth.",
)  # fmt: skip
REMARKS: tuple[str, ...] = (
    "Partly made from recycled fibres.", "The fabric is soft and slightly stretchy.", "Washed for a worn look.",
    "The lining is soft against the skin.", "Runs a little large.", "A bestseller in a new colour.",
)  # fmt: skip

DEPARTMENTS: dict[str, tuple[str, ...]] = {
    "W": ("Women Everyday", "Women Casual", "Women Tailoring", "Women Trend", "Women Plus", "Maternity"),
    "M": ("Men Everyday", "Men Casual", "Men Tailoring", "Men Trend"),
    "G": ("Girls 2-8 Years", "Girls 9-14 Years"),
    "B": ("Boys 2-8 Years", "Boys 9-14 Years"),
    "N": ("Newborn", "Baby 6-36 Months"),
}
SPORT_DEPARTMENTS: dict[str, str] = {"W": "Women Sport", "M": "Men Sport", "G": "Girls Sport", "B": "Boys Sport"}
INDEX_NAMES: dict[str, str] = {"W": "Womenswear", "M": "Menswear", "G": "Girls", "B": "Boys", "N": "Baby"}
AGE_WEIGHTS: dict[str, int] = {"W": 50, "M": 22, "G": 11, "B": 9, "N": 8}
