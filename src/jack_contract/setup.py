from setuptools import find_packages, setup

package_name = "jack_contract"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["robots/*.yaml", "*.json", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pyyaml"],
    zip_safe=False,
    maintainer="Jack maintainers",
    maintainer_email="maintainers@jack-robot.org",
    description="What a robot, an observation and an action are: written once.",
    license="Apache-2.0",
)
