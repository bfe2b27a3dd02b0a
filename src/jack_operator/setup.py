from setuptools import find_packages, setup

package_name = "jack_operator"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/rviz", ["rviz/jack.rviz"]),
        (f"share/{package_name}/foxglove", ["foxglove/jack.json"]),
    ],
    install_requires=["setuptools", "numpy", "scipy", "pillow", "viser"],
    entry_points={
        "console_scripts": [
            "view_node = jack_operator.view_node:main",
            "teleop_node = jack_operator.teleop_node:main",
            "say_node = jack_operator.say_node:main",
            "markers_node = jack_operator.markers_node:main",
            "rviz = jack_operator.rviz:main",
        ]
    },
    zip_safe=False,
    maintainer="Jack maintainers",
    maintainer_email="maintainers@jack-robot.org",
    description="What a person sees of Jack, and steers him with: a page, markers, keyboard and gamepad.",
    license="Apache-2.0",
)
